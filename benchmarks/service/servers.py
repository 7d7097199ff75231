"""Servers of other processes, which tell nobody when they are there."""

from __future__ import annotations

import subprocess
import urllib.request

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

BETWEEN_S = 0.5


def await_answer(url: str, process: subprocess.Popen[bytes], seconds: float) -> None:
    """Return when `url` answers. Raises RuntimeError where the process ends first, or `seconds` are over."""

    def ask() -> None:
        if process.poll() is not None:
            raise RuntimeError(f"{url}: the server has ended with exit code {process.poll()}")
        urllib.request.urlopen(url, timeout=5).close()

    stop, retry = stop_after_delay(seconds), retry_if_exception_type(OSError)
    try:
        Retrying(stop=stop, retry=retry, wait=wait_fixed(BETWEEN_S), reraise=True)(ask)
    except OSError as error:
        raise RuntimeError(f"{url}: no answer within {seconds:g} s: {error}") from None
