"""`raydistill plan`: asks nothing, or a few rows that the run then has; and its run says how far it was off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raydistill.pipelines.cli.plan import plan_run
from raydistill.pipelines.planning.forecast import forecast
from raydistill.pipelines.planning.show import lines
from raydistill.pipelines.planning.walk import walk
from raydistill.pipelines.run import run
from raydistill.pipelines.run_config import Run, load_config
from tests import ROOT
from tests.endpoint import Endpoint
from tests.pipelines.spending.test_budget_run import drawn, paid
from tests.pipelines.test_run_remote import program
from tests.rows import write_rows

QUESTIONS, HELD_OUT = 60, 20


def config(root: Path, url: str, tokenizer: str | None = None, **teacher: Any) -> Run:
    rows = [{"question": f"What is {i} plus 20?", "answer": str(i + 20)} for i in range(QUESTIONS + HELD_OUT)]
    asked = {"task": "table", "path": str(write_rows(root.parent / "asked.jsonl", rows[HELD_OUT:]))}
    held = {"task": "table", "path": str(write_rows(root.parent / "held.jsonl", rows[:HELD_OUT]))}
    endpoint = {"base_url": url, "api_key_env": None, "tokenizer": tokenizer}
    settings = {"engine": "openai", "model": "model", "n": 2, "endpoint": endpoint, **teacher}
    settings |= {"prices": {"prompt": 1, "generated": 4}}
    evaluation = {"questions": held, "models": ["teacher"]}
    return Run.model_validate({"run_dir": str(root), "questions": asked, "teacher": settings, "evaluation": evaluation})


def test_a_plan_asks_nothing_and_says_what_would_be_asked(tmp_path: Path, tiny_model: str) -> None:
    with Endpoint(say=program) as server:
        plan = forecast(config(tmp_path / "run", server.url, tiny_model))
        assert server.received == []
    said = "\n".join(lines(plan))
    assert "<user>Write a Python function" in said and "What is 20 plus 20?" in said and "tokens: " in said
    assert "synthesis, by model: 60 rows, 120 samples" in said and "nothing is stored" in said
    assert "evaluating teacher (greedy), by model: 20 rows, 20 samples" in said
    assert "at most 71,680 (--measure 16 says how many)" in said  # 140 samples of 512 tokens
    assert not (tmp_path / "run").exists()


def test_a_measured_plan_foresees_the_run_which_keeps_what_was_measured(cluster: None, tmp_path: Path) -> None:
    with Endpoint(say=program) as server:
        made = config(tmp_path / "run", server.url)
        plan_run(made, 16, None)
        measured = paid(server)
        told = json.loads((tmp_path / "run" / "plan.json").read_text())
        assert told["measured_rows"] == 16 and told["spent"]["generated_tokens"] == measured
        assert len(drawn(server)) == 16 * 2 + 16
        report = run(made)
        assert set(drawn(server).values()) == {1} and len(drawn(server)) == 60 * 2 + 20
    expected, low, high = told["generated_tokens"]
    assert low <= paid(server) <= high and expected == pytest.approx(paid(server), rel=0.2)
    assert report["plan"]["error"]["generated_tokens"] == pytest.approx(expected / paid(server) - 1, abs=1e-4)
    assert abs(report["plan"]["error"]["money"]) < 0.2
    changed = made.model_copy(update={"teacher": made.teacher.model_copy(update={"temperature": 0.5, "n": 4})})
    [again, _] = forecast(changed).passes
    assert again.why_not == "stored samples are of other settings: temperature is 0.5, was 1.0"
    more = made.model_copy(update={"teacher": made.teacher.model_copy(update={"n": 3})})
    [grown, evaluated] = forecast(more).passes
    assert (grown.cost.stored, grown.cost.wanted, grown.why_not) == (120, 180, "the rest was not asked for yet")
    assert evaluated.cost.stored == 20 and evaluated.why_not == ""


@pytest.mark.parametrize(
    ("name", "titles"),
    [
        ("demo", ["synthesis", "evaluating base (greedy)", "evaluating student (greedy)"]),
        ("demo-mcc-kd", ["synthesis"]),
        ("demo-mixed", ["synthesis"]),
        ("demo-opd", ["synthesis", "round 1: samples"]),
        ("demo-tripost", ["iteration 1: attempts"]),
    ],
)
def test_a_walk_sees_the_passes_of_a_recipe(tmp_path: Path, name: str, titles: list[str]) -> None:
    made = load_config(ROOT / f"configs/{name}.yaml", [f"run_dir={tmp_path}/run", "questions.size=50"])
    passes = walk(made)
    assert {*titles} <= {one.title for one in passes}
    students = [one for one in passes if one.after_training]
    assert all(one.kind == "free" or one.title.startswith(("iteration", "round")) for one in students)
    assert not (tmp_path / "run").exists()
