"""The reference says what the code does: settings, commands, columns, environment variables."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests import ROOT

READ = re.compile(
    r"""environ(?:\.get|\.setdefault|\.pop)?[\[(]"([A-Z_]+)"|^[A-Z]+_VARIABLE = "([A-Z_]+)\"""", re.MULTILINE
)
LINK = re.compile(r"(?<!!)\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
PAGES = sorted((ROOT / "docs").rglob("*.md"))
OURS_TO_SET = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO",
    "RAY_ENABLE_AUTO_CONNECT",
    "RAY_USAGE_STATS_ENABLED",
    "TQDM_DISABLE",
    "VLLM_LOGGING_LEVEL",
}


def test_pages_are_those_that_the_code_makes() -> None:
    done = subprocess.run(
        [sys.executable, "docs/make_reference.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_every_setting_says_what_it_is() -> None:
    text = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    silent = re.findall(r"^\| \**`(\w+)`\** \|.*\| \|$", text, re.MULTILINE)
    silent = [name for name in silent if name != "recipe"]  # its only value is its name
    assert not silent, f"no description: {', '.join(sorted({*silent}))}"


def test_every_environment_variable_that_is_read_is_told_of() -> None:
    told = (ROOT / "docs/reference/environment.md").read_text(encoding="utf-8")
    files = [path for room in ("actors", "pipelines", "serve", "benchmarks") for path in (ROOT / room).rglob("*.py")]
    read = {name for path in files for pair in READ.findall(path.read_text(encoding="utf-8")) for name in pair if name}
    assert len(read) > 5
    assert not [name for name in sorted(read - OURS_TO_SET) if f"`{name}`" not in told]


def test_pages_that_the_site_lists_are_there() -> None:
    def pages(nav):
        for entry in nav:
            yield from (
                pages(entry)
                if isinstance(entry, list)
                else [entry]
                if isinstance(entry, str)
                else pages(entry.values())
            )

    listed = [*pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])]
    assert len(listed) > 8 and all((ROOT / "docs" / page).is_file() for page in listed)
    top = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert top <= {*listed}, f"not in the site: {sorted(top - {*listed})}"


def anchors(page: Path) -> set[str]:
    """What a link into a page may name: its headings, as they are made into ids."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    for link, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        there = page.parent / link if link else page
        assert there.exists(), link
        assert not anchor or anchor in anchors(there), f"{link}#{anchor}"


def test_each_question_that_others_were_asked_names_the_issue_and_a_page() -> None:
    text = (ROOT / "docs" / "faq.md").read_text(encoding="utf-8")
    questions = re.split(r"^(?=\*\*)", text, flags=re.MULTILINE)[1:]
    assert len(questions) >= 10
    for question in questions:
        assert re.search(r"\]\(https://github\.com/[\w-]+/[\w-]+/issues/\d+\)", question), question
        assert LINK.search(question) or "SECURITY.md" in question, question
