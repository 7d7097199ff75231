"""Debian's Chromium without a window, for tests of pages; every page is opened from a file, and none may say a word."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

QUIET = (
    "headless no-sandbox disable-gpu disable-background-networking disable-component-update disable-sync no-first-run"
)


def check_browser() -> None:
    """Skip where there is no Chromium; fail instead where RAYDISTILL_BROWSER says that it is required."""
    if shutil.which("chromium") and shutil.which("chromedriver"):
        return
    why = "no chromium and chromedriver here (Debian: apt-get install chromium chromium-driver)"
    pytest.fail(why) if os.environ.get("RAYDISTILL_BROWSER") == "required" else pytest.skip(why)


@contextmanager
def chromium(folder: Path) -> Iterator[Any]:
    """A driver of a browser with a profile of its own in `folder`."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for argument in (*QUIET.split(), f"user-data-dir={folder}"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.binary_location = str(shutil.which("chromium"))
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    driver.set_script_timeout(300)  # axe-core looks at every element, on cores that others use, too
    try:
        yield driver
    finally:
        driver.quit()


def look(driver: Any, page: Path | str, width: int, theme: str) -> None:
    """Open a page, a file or a URL, as wide as that, in the light or dark theme."""
    media = [{"name": "prefers-color-scheme", "value": theme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get(page if isinstance(page, str) else page.as_uri())


def complaints(driver: Any) -> list[str]:
    """What the console said since it was asked last."""
    return [entry["message"] for entry in driver.get_log("browser")]


def overflow(driver: Any) -> int:
    """By how many pixels the page is wider than the window."""
    return driver.execute_script("return document.scrollingElement.scrollWidth - document.documentElement.clientWidth")


def violations(driver: Any) -> list[str]:
    """What axe-core finds that is serious or critical."""
    [folder] = find_spec("axe_playwright_python").submodule_search_locations  # type: ignore[union-attr]
    driver.execute_script(Path(folder, "axe.min.js").read_text(encoding="utf-8"))
    found = driver.execute_async_script("axe.run().then(arguments[0], error => arguments[0]({error: String(error)}))")
    assert "violations" in found, found
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
