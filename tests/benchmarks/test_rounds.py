"""Sampling until verified: rounds of samples that stop early for easy questions, and resume where they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from raydistill.actors.engine.requests import Sampling
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.run import Runner
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.sampling.plan import SamplingPlan
from raydistill.pipelines.sampling.prompter import Prompt, Prompter

FIRST = "def solution():\n    return {i} + {i}"
SECOND = "def solution():\n    return 2 * {i}"
WRONG = "def solution():\n    return {i} - 1"
RECORDED = {  # completions of question i by i % 3
    0: [FIRST, SECOND, WRONG, WRONG, WRONG, WRONG],  # easy: one round of two
    1: [FIRST, WRONG, FIRST, SECOND, WRONG, WRONG],  # the third is the first again: two rounds
    2: [WRONG, WRONG, WRONG, WRONG, WRONG, SECOND],  # all three rounds, and still one short
}


@pytest.fixture(scope="module")
def run(cluster: None, tmp_path_factory: pytest.TempPathFactory, questions_file: Path) -> RoundsRun:
    """A run over twelve questions, two distinct programs wanted of each: first with one round, then with three."""
    folder = tmp_path_factory.mktemp("rounds")
    recorded = folder / "recorded.jsonl"
    rows = [
        {"question": f"What is {i} plus {i}?", "completion": text.format(i=i)}
        for i in range(12)
        for text in RECORDED[i % 3]
    ]
    recorded.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def config(rounds: int) -> Run:
        sections = {
            "run_dir": str(folder / "run"),
            "questions": {"task": "table", "path": str(questions_file)},
            "teacher": {"engine": "recorded", "model": str(recorded), "n": 2, "rounds": rounds},
            "recipe": {"max_programs": 2},
        }
        return Run.model_validate(sections)

    return RoundsRun(folder / "run", config(3), synthesized(config(1))[0], *synthesized(config(3)))


class RoundsRun(NamedTuple):
    root: Path
    config: Run
    one_round: dict[str, Any]  # the report of the first round
    report: dict[str, Any]  # of all three
    examples: list[dict[str, Any]]


def synthesized(config: Run) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The report and the examples of a run's synthesis."""
    runner = Runner(config)
    try:
        examples = runner.start().synthesize()
    finally:
        runner.close()
    return runner.report, read(Path(examples.folder))


def read(folder: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.rglob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_easy_questions_stop_early_and_hard_ones_use_all_rounds(run: RoundsRun) -> None:
    assert run.report["teacher"]["questions_by_rounds"] == {1: 4, 2: 4, 3: 4}
    ids = [row["sample_id"] for row in read(run.root / "completions")]
    assert len(ids) == len(set(ids)) == run.report["verification"]["programs"] == 4 * 2 + 4 * 4 + 4 * 6
    assert run.report["verification"]["passed"] == 4 * 2 + 4 * 3 + 4 * 1
    assert run.report["selection"]["dropped"]["duplicate"] == 4
    by_question = [row["question_id"] for row in run.examples]
    assert sorted(map(by_question.count, set(by_question))) == [1] * 4 + [2] * 8


def test_fewer_rounds_are_gone_on_with(run: RoundsRun) -> None:
    for report, new in ((run.one_round, 12 * 2), (run.report, 4 * 2 + 4 * 4)):
        assert report["resumed"]["new_samples"] == report["resumed"]["new_verdicts"] == new


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(run: RoundsRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raydistill.pipelines.sampling.job.QUESTIONS_PER_FLOW", 5)  # several flows give the same as one
    for path in (run.root / "verdicts").rglob("*.parquet"):  # as after kill -9: not all is judged,
        table = pq.read_table(path)
        pq.write_table(table.slice(0, table.num_rows // 2), path)
    for path in (run.root / "examples").rglob("*.*"):  # and nothing selected
        path.unlink()
    again, same = synthesized(run.config)
    assert again["resumed"]["new_samples"] == 0 and again["resumed"]["new_verdicts"] > 0
    assert again["teacher"]["questions_by_rounds"] == {1: 4, 2: 4, 3: 4}
    assert [row["id"] for row in same] == [row["id"] for row in run.examples]


TWO_CONTEXTS = Prompter(lambda question: [Prompt("a", []), Prompt("b", [])], lambda text, form: text, "1")


@pytest.mark.parametrize(
    ("rounds", "per_round", "ids"),
    [
        (1, None, ["a/0", "a/1", "b/0", "b/1"]),
        (2, None, ["a/0", "a/1", "a/2", "a/3", "b/0", "b/1", "b/2", "b/3"]),
        (1, 1, ["a/0", "a/1"]),
        (2, 1, ["a/0", "a/1", "b/0", "b/1"]),
        (3, 1, ["a/0", "a/1", "a/2", "a/3", "b/0", "b/1"]),
    ],
)
def test_contexts_take_turns(rounds: int, per_round: int | None, ids: list[str]) -> None:
    plan = SamplingPlan(TWO_CONTEXTS, Sampling(), n=2, seed=0, rounds=rounds, prompts_per_round=per_round)
    assert plan.sample_ids(Question("q", "", "")) == [f"q/{i}" for i in ids]
