"""A run's page: whole, small, inert; the browser shows it at both widths and in both themes without a complaint."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from raydistill.actors.errors import UsageError
from raydistill.pipelines.runtime.stages import stage
from raydistill.pipelines.spending.account import BudgetUsedUp
from raydistill.pipelines.views.page import MOST_BYTES, SECTIONS, leave_page, write_page
from raydistill.pipelines.views.run_folder import RunFolder
from raydistill.pipelines.views.text import python, visible
from tests.pipelines.views.browser import check_browser, chromium, complaints, look, overflow, violations
from tests.pipelines.views.written import HOSTILE, write_run
from tests.waiting import wait_until

LOOKS = [(400, "light"), (400, "dark"), (1400, "light"), (1400, "dark")]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_run(tmp_path_factory.mktemp("run") / "hostile", 120, hostile=True)
    return Path(write_page(RunFolder.open(str(root))))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Any:
    check_browser()
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.mark.parametrize(("width", "theme"), LOOKS)
def test_a_page_of_hostile_texts_is_shown_whole_and_quietly(browser: Any, page: Path, width: int, theme: str) -> None:
    look(browser, page, width, theme)
    assert browser.title == "hostile · raydistill"
    for section in SECTIONS:
        assert browser.find_element("id", section).text
    assert overflow(browser) <= 0
    browser.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert overflow(browser) <= 0
    assert browser.execute_script("return document.querySelectorAll('main script, main img, main h1').length") == 0
    assert violations(browser) == []
    assert complaints(browser) == []


def test_search_and_filters_narrow_the_browser_of_samples(browser: Any, page: Path) -> None:
    look(browser, page, 1400, "light")

    def shown() -> list[Any]:
        return [card for card in browser.find_elements("css selector", "#cards > .sample") if card.is_displayed()]

    def count() -> str:
        return browser.find_element("id", "count").text

    assert len(shown()) == 25 and count() == "120 of 120 match; the first 25 are shown"
    browser.find_element("id", "more").click()
    assert len(shown()) == 50
    select = browser.find_element("css selector", "select[name=reason]")
    select.send_keys("wrong_answer")
    assert count().startswith("20 of 120") and len(shown()) == 20
    assert {card.get_attribute("data-reason") for card in shown()} == {"wrong_answer"}
    browser.find_element("css selector", "input[name=search]").send_keys("owned")
    assert 0 < len(shown()) < 20
    browser.find_element("css selector", "button[type=reset]").click()
    wait_until(lambda: count().startswith("120 of 120"), 5, "the form to be empty")
    browser.find_element("css selector", "#verdicts button[data-reason='exception:NameError']").click()
    wait_until(lambda: count().startswith("20 of"), 5, "the button to filter")
    assert {card.get_attribute("data-status") for card in shown()} == {"failed"}


def test_a_page_loads_nothing_and_says_what_was_done(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "src=" not in text.replace("img src=x", "") and "url(" not in text.replace("url(#", "")
    assert "The teacher teacher wrote 120 answers about 120 questions; 80 of them were verified as right" in text
    assert "\x1b" not in text and "\u202e" not in text and "⟨U+202E⟩" in text and "␛[2J" in text
    assert "<script>document" not in text and "7 * 7" in text


@pytest.mark.parametrize("name", HOSTILE)
def test_what_could_act_is_made_visible(name: str) -> None:
    shown = visible(HOSTILE[name])
    assert not any(ord(c) < 32 and c != "\n" or c in "\u202e\u2066\x7f\x9b" for c in shown)
    assert visible("half \ud800") == "half ⟨U+D800⟩" and visible("a\r\nb") == "a␍\nb"


def test_programs_are_escaped_and_highlighted() -> None:
    assert python("def f(): return '<b>'") == (
        '<i class="k">def</i> <i class="f">f</i>(): <i class="k">return</i> <i class="s">&#39;</i>'
        '<i class="s">&lt;b&gt;</i><i class="s">&#39;</i>'
    )


def test_failed_and_killed_runs_have_pages_too(tmp_path: Path) -> None:
    root = str(write_run(tmp_path / "failed", 12, report=False))
    with pytest.raises(RuntimeError), stage(root, "run", "pad"):
        raise RuntimeError("the budget of 5 dollars is spent")
    page = Path(write_page(RunFolder.open(root))).read_text(encoding="utf-8")
    assert "It stopped with RuntimeError: the budget of 5 dollars is spent" in page and "wrong_answer" in page
    killed = stage(root, "run", "pad")
    killed.__enter__()  # and nobody ends it
    for path in (tmp_path / "failed/verdicts/v").iterdir():
        path.unlink()
    page = Path(write_page(RunFolder.open(root))).read_text(encoding="utf-8")
    assert "or was killed" in page and "12 of 12 stored samples" in page and "No sample has been judged yet" in page
    del killed


def test_a_run_that_was_stopped_has_not_failed(tmp_path: Path) -> None:
    root = write_run(tmp_path / "run", 12)
    for error, said in (
        (KeyboardInterrupt(), "It was interrupted."),
        (BudgetUsedUp("spent"), "stopped at its budget."),
    ):
        with suppress(BaseException), stage(str(root), "run", "pad"):
            raise error
        page = Path(write_page(RunFolder.open(str(root)))).read_text(encoding="utf-8")
        assert said in page and type(error).__name__ not in page and '<span class="badge stopped">' in page
    report = json.loads((root / "report.json").read_text())
    cost = {"generated_tokens": 4450, "budget": {"generated_tokens": 4000}, "used_up": "generated_tokens"}
    (root / "report.json").write_text(json.dumps(report | {"cost": cost | {"unasked_samples": 201}}))
    page = Path(write_page(RunFolder.open(str(root)))).read_text(encoding="utf-8")
    assert "Of the budget's 4,000 generated tokens 4,450 are spent; 201 samples were not asked for." in unescape(page)
    assert "raise budget.generated_tokens, or set budget.on_budget=train" in page


def test_no_trouble_with_a_page_fails_a_run(tmp_path: Path) -> None:
    said: list[str] = []
    leave_page(str(tmp_path), said.append)
    assert "page: not written, UsageError" in said[0]
    with pytest.raises(UsageError, match="no run there"):
        RunFolder.open(str(tmp_path))


MEASURED = """
import resource, sys, time
from raydistill.pipelines.spending.account import BudgetUsedUp
from raydistill.pipelines.views.page import write_page
from raydistill.pipelines.views.run_folder import RunFolder
began = time.monotonic()
write_page(RunFolder.open(sys.argv[1]))
print(time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_a_hundred_thousand_samples_make_a_small_page_in_flat_memory(tmp_path: Path) -> None:
    memory = {}
    for count in (1000, 100_000):
        root = write_run(tmp_path / str(count), count)
        done = subprocess.run([sys.executable, "-c", MEASURED, str(root)], capture_output=True, text=True, check=True)
        seconds, memory[count] = map(float, done.stdout.split())
        assert seconds < 60 and (root / "report.html").stat().st_size < MOST_BYTES
    assert memory[100_000] < memory[1000] + 150  # MB: ids, and one batch of rows
