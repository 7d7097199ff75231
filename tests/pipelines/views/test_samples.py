"""Samples of a run: drawn by a seed, found by filters, shown on a terminal, given to scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raydistill.actors.errors import UsageError
from raydistill.pipelines.cli.app import app
from raydistill.pipelines.views.run_folder import RunFolder, batches_of
from raydistill.pipelines.views.samples import Filter, drawn, everything, fetch, matching
from raydistill.pipelines.views.terminal import chosen
from tests.pipelines.views.written import write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return RunFolder.open(str(write_run(tmp_path_factory.mktemp("run") / "r", 240, hostile=True, rows_at_once=50)))


def test_a_draw_depends_on_its_seed_alone_and_holds_every_reason(run: RunFolder) -> None:
    one, same, other = (drawn(run.samplings, 50, of_each_reason=3, seed=seed) for seed in (1, 1, 2))
    assert one == same != other and len(one["synthesis"]) == 50
    shown = fetch(run, run.samplings[0], one["synthesis"])
    assert {sample.reason for sample in shown} == {"ok", "wrong_answer", "exception:NameError"}
    assert len(drawn(run.samplings, 1000)["synthesis"]) == 240


def test_filters_find_what_fits(run: RunFolder) -> None:
    [sampling] = run.samplings
    assert len(matching(sampling, Filter())) == 240
    assert len(matching(sampling, Filter(reason="exception"))) == 40
    assert len(matching(sampling, Filter(status="failed", context="program"))) == 80
    assert matching(sampling, Filter(context="other")) == matching(sampling, Filter(status="unknown")) == []
    learned = [sample for sample in everything(run, sampling, Filter()) if sample.learned]
    assert len(learned) == 40 and all(sample.question and sample.gold for sample in learned)


def test_a_completion_without_a_verdict_is_unknown(tmp_path: Path) -> None:
    run = RunFolder.open(str(write_run(tmp_path / "r", 30, rows_at_once=10)))
    sorted((tmp_path / "r/verdicts/v").iterdir())[0].unlink()
    [sampling] = run.samplings
    unknown = list(everything(run, sampling, Filter(status="unknown")))
    assert len(unknown) == 10 and unknown[0].status == "unknown" and unknown[0].text
    assert len(matching(sampling, Filter())) == 30


def test_samples_come_by_question_whatever_was_judged_first(tmp_path: Path) -> None:
    run = RunFolder.open(str(write_run(tmp_path / "r", 30, rows_at_once=10)))
    [sampling] = run.samplings
    before = list(everything(run, sampling, Filter()))
    files = sorted((tmp_path / "r/verdicts/v").iterdir())
    for place, file in enumerate(reversed(files)):
        file.rename(file.with_name(f"again-{place}.parquet"))
    assert list(everything(run, sampling, Filter())) == before
    asked = [i for batch in batches_of(sampling.questions) for i in batch["question_id"].to_pylist()]
    assert [sample.question_id for sample in before] == asked and all(
        one.id.endswith(f"/{one.index}") for one in before
    )


def test_the_terminal_shows_hostile_texts_as_texts(run: RunFolder) -> None:
    told = CliRunner().invoke(app, ["samples", run.root, "--limit", "40"], env={"COLUMNS": "120"})
    assert told.exit_code == 0 and "gold answer" in told.stdout and "the first 40" in told.stdout
    assert "\x1b" not in told.stdout and "\u202e" not in told.stdout and "␛[2J" in told.stdout
    assert "<script>" in told.stdout and "more characters" in told.stdout and len(told.stdout) < 1_000_000


def test_json_is_for_scripts(run: RunFolder) -> None:
    told = CliRunner().invoke(app, ["samples", run.root, "--json", "--reason", "wrong_answer", "--search", "OWNED"])
    rows = [json.loads(line) for line in told.stdout.splitlines()]
    assert rows and told.stdout.isascii()
    assert all(row["reason"] == "wrong_answer" and "owned" in row["text"] + row["question"] for row in rows)


def test_a_stage_or_status_that_is_not_there_is_one_line(run: RunFolder) -> None:
    none = {"status": None, "reason": None, "context": None, "stage": None, "search": None}
    with pytest.raises(UsageError, match="--stage 'x': expected one of 'synthesis'"):
        next(chosen(run.root, **none | {"stage": "x"}))
    with pytest.raises(UsageError, match="--status right: expected one of passed, failed, unknown"):
        next(chosen(run.root, **none | {"status": "right"}))
