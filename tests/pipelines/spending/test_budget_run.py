"""Runs with a budget: real HTTP, Ray and sandbox. At a cap a run ends cleanly; a raised cap goes on from there."""

from __future__ import annotations

import json
from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from rich.console import Console

from raydistill.actors.segments import read_segments
from raydistill.pipelines.run import Runner, run
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.spending.account import BudgetUsedUp
from tests.endpoint import Endpoint
from tests.pipelines.test_run_remote import program
from tests.rows import write_rows

QUESTIONS, EACH = 40, 3


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [{"question": f"What is {i} plus 20?", "answer": str(i + 20)} for i in range(QUESTIONS)]
    return write_rows(tmp_path_factory.mktemp("asked") / "asked.jsonl", rows)


def config(root: Path, asked: Path, url: str, budget: dict[str, Any], **sections: Any) -> Run:
    teacher = {"engine": "openai", "model": "model", "n": EACH, "max_tokens": 60}
    teacher |= {"endpoint": {"base_url": url, "api_key_env": None}, "prices": {"prompt": 100, "generated": 400}}
    return Run.model_validate(
        {
            "run_dir": str(root),
            "questions": {"task": "table", "path": str(asked)},
            "teacher": teacher,
            "budget": budget,
            **sections,
        }
    )


def drawn(server: Endpoint) -> Counter[tuple[str, int]]:
    """How often each sample was paid for: by question and seed."""
    return Counter(
        (one.asked, one.body["seed"] + i) for one in server.received for i in range(one.body.get("n", 1)) if one.whole
    )


def paid(server: Endpoint) -> int:
    return sum(one.completion_tokens for one in server.received)


def test_a_budget_stops_a_run_and_a_raised_one_resumes(cluster: None, tmp_path: Path, asked: Path) -> None:
    root, said = tmp_path / "run", StringIO()
    with Endpoint(say=program) as server:
        with pytest.raises(BudgetUsedUp, match="budget.generated_tokens: .* of 1,000 are spent, and .* samples were"):
            run(config(root, asked, server.url, {"generated_tokens": 1000}), Console(file=said, soft_wrap=True))
        report = json.loads((root / "report.json").read_text())
        cost, first = report["cost"], paid(server)
        assert 1000 - 60 <= first <= 1000 + 60 == 1000 + EACH * 20
        assert cost["generated_tokens"] == first and cost["used_up"] == "generated_tokens"
        asked_for = report["verification"]["programs"]
        assert cost["unasked_samples"] == QUESTIONS * EACH - asked_for > 0
        prompts = sum(one.prompt_tokens for one in server.received)
        assert cost["money"] == pytest.approx((100 * prompts + 400 * first) / 1e6)
        assert cost["models"]["model"]["generated_tokens"] == first
        assert cost["per_passed_sample"]["generated_tokens"] == round(first / report["verification"]["passed"], 1)
        assert cost["per_example"]["money"] == pytest.approx(cost["money"] / report["examples"], rel=1e-3)
        assert "raise the cap and run the same command again" in said.getvalue()

        with pytest.raises(BudgetUsedUp):
            run(config(root, asked, server.url, {"generated_tokens": 1000}))
        assert paid(server) == first  # nothing more for the same budget

        more = run(config(root, asked, server.url, {"generated_tokens": 1_000_000}))
    assert set(drawn(server).values()) == {1} and len(drawn(server)) == QUESTIONS * EACH
    assert more["verification"]["programs"] == QUESTIONS * EACH == asked_for + more["resumed"]["new_samples"]
    assert more["cost"]["generated_tokens"] == paid(server) and not more["cost"]["used_up"]
    rows = [row for table in read_segments(str(next((root / "completions").iterdir()))) for row in table.to_pylist()]
    assert len(rows) == len({row["sample_id"] for row in rows}) == QUESTIONS * EACH


def test_a_run_may_train_on_what_there_is(cluster: None, tmp_path: Path, asked: Path, tiny_model: str) -> None:
    train = {"student": tiny_model, "epochs": 1, "validation_fraction": 0, "max_length": 256}
    table = {"task": "table", "path": str(write_rows(tmp_path / "held.jsonl", [{"question": "1?", "answer": "1"}]))}
    budget = {"money": 0.4, "on_budget": "train"}
    said = StringIO()
    with Endpoint(say=program) as server:
        made = config(
            tmp_path / "run",
            asked,
            server.url,
            budget,
            train=train,
            evaluation={"questions": table, "models": ["teacher"]},
        )
        report = run(made, Console(file=said, soft_wrap=True))
    assert report["training"]["steps"] > 0 and 0 < report["examples"] < QUESTIONS
    assert 0.3 < report["cost"]["money"] < 0.43 and report["cost"]["used_up"] == "money"
    assert report["evaluation"] == {} and "teacher: not evaluated. budget.money" in said.getvalue()
    assert (tmp_path / "run" / "student" / "model.safetensors").is_file()


def test_samples_of_a_question_and_time_have_caps_too(cluster: None, tmp_path: Path, asked: Path) -> None:
    with Endpoint(say=program) as server:
        few = config(tmp_path / "few", asked, server.url, {"samples_per_question": 2})
        report = run(few.model_copy(update={"teacher": few.teacher.model_copy(update={"rounds": 3})}))
        assert report["verification"]["programs"] == QUESTIONS * 2 and len(drawn(server)) == QUESTIONS * 2
        runner = Runner(config(tmp_path / "late", asked, server.url, {"wall_s": 0.001}))
        with pytest.raises(BudgetUsedUp, match="budget.wall_s: .* of 0.001 are spent, and 120 samples"):
            try:
                runner.start().synthesize()
            finally:
                runner.close()


def test_money_needs_prices(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="budget.money needs teacher.prices"):
        Run.model_validate({"teacher": {"model": "a/b"}, "questions": {"task": "gsm8k"}, "budget": {"money": 1}})
