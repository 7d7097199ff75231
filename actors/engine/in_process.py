"""vLLM's executor without a process of its own, in an engine core that ends with whoever started it.

An engine core of vLLM 0.29 does not notice when its parent is killed: it would keep its memory, and on a GPU its model.
The class is made when it is asked for: this module is imported without vLLM, too.
"""

from __future__ import annotations

import os
import select
import threading
from functools import cache
from typing import Any

EXECUTOR = f"{__name__}.InProcessExecutor"
"""What vLLM's argument `distributed_executor_backend` takes."""


def end_with_parent() -> None:
    """End this process, without ado, as soon as its parent has ended."""
    parent = os.getppid()
    try:
        watched = os.pidfd_open(parent)
    except ProcessLookupError:
        os._exit(1)
    if os.getppid() != parent:  # it ended before it was watched
        os._exit(1)

    def watch() -> None:
        select.select([watched], [], [])
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


@cache
def _executor() -> type:
    from vllm.v1.executor.uniproc_executor import UniProcExecutor

    class InProcessExecutor(UniProcExecutor):
        def _init_executor(self) -> None:
            end_with_parent()
            super()._init_executor()

    InProcessExecutor.__qualname__ = "InProcessExecutor"  # the engine core's process finds it by this
    return InProcessExecutor


def __getattr__(name: str) -> Any:
    if name == "InProcessExecutor":
        return _executor()
    raise AttributeError(name)
