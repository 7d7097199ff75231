"""Runs beside each other: what differs, paired gains as the replications have them, and where answers differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from typer.testing import CliRunner

from raydistill.actors.errors import UsageError
from raydistill.actors.storage import write_json, write_table
from raydistill.pipelines.cli.app import app
from raydistill.pipelines.evaluation.answers import answers_schema, name_evaluation
from raydistill.pipelines.evaluation.bootstrap import paired
from raydistill.pipelines.views.compare import compare, disagreements
from raydistill.pipelines.views.compare_page import comparison_page
from raydistill.pipelines.views.run_folder import RunFolder
from tests.pipelines.views.browser import check_browser, chromium, complaints, look, overflow, violations
from tests.pipelines.views.written import HOSTILE, write_run

QUESTIONS = 60


def evaluate(root: Path, passed: list[bool | None], first: int = 0) -> None:
    """Give a run a student that got these questions right."""
    texts = list(HOSTILE.values())
    rows = [
        {
            "question_id": str(i), "question": f"{texts[i % len(texts)]} {i}", "gold": str(i), "reason": "ok",
            "status": "unknown" if right is None else "passed" if right else "failed",
            "value": str(i), "output": "", "text": texts[i % len(texts)],
        }
        for i, right in enumerate(passed, start=first)
    ]  # fmt: skip
    write_table(f"{root}/evaluation/k.parquet", pa.Table.from_pylist(rows, schema=answers_schema()))
    name_evaluation(str(root), "student", "k")
    known = [right for right in passed if right is not None]
    accuracy = sum(known) / len(known)
    score = {"accuracy": accuracy, "stderr": 0.01, "n": len(known), "unknown": passed.count(None), "samples": 1}
    report = json.loads((root / "report.json").read_text())
    told = {"student": score | {"grader": "numeric", "completion_tokens": 9}}
    write_json(f"{root}/report.json", report | {"evaluation": told})


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[RunFolder], list[list[bool | None]]]:
    """Two runs of one setting each; the second's student is better."""
    folder, random = tmp_path_factory.mktemp("two"), np.random.default_rng(0)
    passed: list[list[bool | None]] = []
    for name, share in (("one", 0.4), ("other", 0.7)):
        root = write_run(folder / name, 12)
        passed.append([bool(value) for value in random.random(QUESTIONS) < share])
        passed[-1][3 if name == "one" else 7] = None
        evaluate(root, passed[-1])
    config = folder / "other" / "config.yaml"
    told = yaml.safe_load(config.read_text())
    told["teacher"]["temperature"] = 0.3
    del told["tracking"]  # as an earlier version wrote it
    config.write_text(yaml.safe_dump(told))
    return [RunFolder.open(str(folder / name)) for name in ("one", "other")], passed


def test_the_changed_setting_is_named_and_no_other(two: Any) -> None:
    assert compare(two[0]).settings == {"teacher.temperature": [1.0, 0.3]}


def test_the_interval_is_the_bootstrap_of_the_replications(two: Any) -> None:
    runs, (before, after) = two
    [gain] = compare(runs).gains
    expected = paired({0: after}, {0: before})
    assert (gain.gain, [gain.low, gain.high], gain.n) == (expected["gain"], expected["ci95"], QUESTIONS - 2)
    known = [(a, b) for a, b in zip(after, before, strict=True) if a is not None and b is not None]
    assert gain.only_this == sum(a and not b for a, b in known) > gain.only_first
    assert len(disagreements(runs, "student")) == gain.only_this + gain.only_first


def test_runs_without_common_questions_are_not_paired(two: Any, tmp_path: Path) -> None:
    root = write_run(tmp_path / "elsewhere", 12)
    assert compare([two[0][0], RunFolder.open(str(root))]).gains == []
    evaluate(root, [True] * 5, first=1000)
    assert compare([two[0][0], RunFolder.open(str(root))]).gains == []
    with pytest.raises(UsageError, match="the same run was named twice"):
        compare([two[0][0], two[0][0]])


def test_the_page_of_a_comparison_is_quiet_and_can_be_searched(two: Any, tmp_path: Path) -> None:
    check_browser()
    page = tmp_path / "page.html"
    page.write_text(comparison_page(two[0]), encoding="utf-8")
    with chromium(tmp_path / "profile") as browser:
        for width, theme in ((400, "dark"), (1400, "light")):
            look(browser, page, width, theme)
            browser.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
            assert overflow(browser) <= 0 and violations(browser) == [] and complaints(browser) == []
        select = browser.find_element("css selector", "select[name=right]")
        browser.execute_script("arguments[0].value = 'other'; arguments[0].dispatchEvent(new Event('input', "
                               "{bubbles: true}))", select)  # fmt: skip
        [gain] = compare(two[0]).gains
        assert browser.find_element("id", "count").text.startswith(f"{gain.only_this} of ")


def test_the_command_prints_tables_or_json_and_writes_the_page(two: Any, tmp_path: Path) -> None:
    paths, runner = [run.root for run in two[0]], CliRunner()
    told = runner.invoke(app, ["compare", *paths, "--out", str(tmp_path / "c" / "page.html")], env={"COLUMNS": "160"})
    assert told.exit_code == 0 and "teacher.temperature" in told.stdout and (tmp_path / "c" / "page.html").exists()
    found = json.loads(runner.invoke(app, ["compare", *paths, "--json"]).stdout)
    assert found["runs"] == ["one", "other"] and found["settings"] == {"teacher.temperature": [1.0, 0.3]}
