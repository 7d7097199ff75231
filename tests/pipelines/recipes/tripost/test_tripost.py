"""Iterations of TriPosT on Ray, with recorded models: conversations, their account, resuming, replay, self-update."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from raydistill.pipelines import report
from raydistill.pipelines.config.sections import Evaluation
from raydistill.pipelines.context import RunContext
from raydistill.pipelines.data.examples import read_examples
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.evaluation.measure import evaluate_model
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.recipes.tripost.conversation import after_attempt, read_turns
from raydistill.pipelines.recipes.tripost.iteration import attempted, collect_trajectories
from raydistill.pipelines.recipes.tripost.updating import to_go_on
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.tasks import LoadedQuestions, load_questions
from raydistill.pipelines.tasks.stepwise import prompts
from raydistill.pipelines.tasks.stepwise.base import Feedback
from raydistill.pipelines.tasks.stepwise.table import TASKS

NAMES = ("n", "before", "after", "tried", "helped", "hurt")
TASK = TASKS["multistep_arithmetic"]
QUESTIONS = {"task": f"stepwise:{TASK.name}", "size": 12, "options": {"levels": [2]}}


def wrong(question: Question) -> tuple[str, Feedback]:
    """An attempt with a wrong answer, and the feedback on it."""
    lines = question.meta["rationale"].splitlines()
    attempt = "\n".join([*lines[:-1], f"Step {len(lines)}: Therefore, the answer is {int(question.answer) + 1}."])
    return attempt, TASK.feedback(question.text, attempt)


def recorded(loaded: LoadedQuestions) -> Iterator[tuple[str, str]]:
    """What is asked and answered: by turns right, wrong, wrong and corrected, wrong and cut short, without steps."""
    for number, question in enumerate(loaded.questions):
        gold, (attempt, found) = question.meta["rationale"], wrong(question)
        whole = attempt + after_attempt(prompts.verdict(found), gold)
        bad = f"It is {question.answer}."
        yield question.text, (gold, attempt, whole, attempt + after_attempt(prompts.ALL_RIGHT), whole, bad)[number % 6]
        yield to_go_on(question, gold).text, f" {prompts.ALL_RIGHT}"
        heard = prompts.verdict(found) if number % 6 != 1 else "Looks odd."
        yield prompts.feedback_prompt(question.text, attempt), f"Let me see.\n{heard}\nThat is all."
        yield prompts.feedback_prompt(question.text, gold), prompts.ALL_RIGHT
        yield prompts.improvement_prompt(question.text, attempt, found), gold.splitlines()[-1]


@pytest.fixture
def loaded() -> LoadedQuestions:
    return load_questions(Run.model_validate(sections("run", "")).questions)


def sections(folder: object, model: object, **recipe: Any) -> dict[str, Any]:
    teacher = {"engine": "recorded", "model": str(model)}
    return {
        "run_dir": str(folder),
        "questions": QUESTIONS,
        "teacher": teacher,
        "recipe": {"recipe": "tripost", **recipe},
    }


@pytest.fixture
def recording(loaded: LoadedQuestions, tmp_path: Path) -> Path:
    path = tmp_path / "recorded.jsonl"
    rows = [json.dumps({"question": asked, "completion": said}) for asked, said in recorded(loaded)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def collected(tmp_path: Path, recording: Path, loaded: LoadedQuestions, **recipe: Any) -> tuple[list[Any], Any]:
    """The examples of an iteration and its account."""
    config = Run.model_validate(sections(tmp_path / "run", recording, **recipe))
    ctx = RunContext(config, None)
    try:
        made, account = collect_trajectories(ctx, config.recipe, loaded, config.teacher, 1)
    finally:
        ctx.close()
    return list(read_examples(made.folder)), account


def test_every_conversation_is_accounted_for_and_none_is_repeated(
    cluster: None, tmp_path: Path, recording: Path, loaded: LoadedQuestions
) -> None:
    examples, account = collected(tmp_path, recording, loaded)
    assert account["conversations"] == 12 and account["unknown"] == 0
    assert account["accepted"] == {"self_correct": 2, "improved": 8}
    assert account["rejected"] == {"unreadable_attempt": 2}
    assert account["endings"] == {"no_feedback": 6, "correct": 6}
    assert account["turns"] == {"improvement": 8, "self_correct": 10, "gold": 0}
    assert account["kept"] == {"improvement": 8, "self_correct": 6, "gold": 6} and account["examples"] == len(examples)
    for example in examples:
        last = read_turns(example.text)[-1]
        question = next(q for q in loaded.questions if q.id == example.question_id)
        assert TASK.feedback(question.text, last.attempt).correct

    (finished,) = (tmp_path / "run" / "trajectories").rglob("*.parquet")  # as after kill -9: five are finished,
    table = pq.read_table(finished)
    pq.write_table(table.slice(0, 5), finished)
    for path in (tmp_path / "run" / "examples").rglob("*.*"):  # and no example is written
        path.unlink()
    again, same = collected(tmp_path, recording, loaded)
    assert again == examples and json.loads(json.dumps(same)) == json.loads(json.dumps(account))
    rows = [row for path in finished.parent.glob("*.parquet") for row in pq.read_table(path).to_pylist()]
    assert len(rows) == len({row["id"] for row in rows}) == 12
    assert pq.read_table(finished).num_rows == 5


def test_a_teacher_judges_and_improves(cluster: None, tmp_path: Path, recording: Path, loaded: LoadedQuestions) -> None:
    examples, account = collected(tmp_path, recording, loaded, feedback="teacher", improvement="teacher", balance=None)
    assert account["accepted"] == {"self_correct": 2, "improved": 6}
    assert account["rejected"] == {"unreadable_attempt": 2, "unreadable_feedback": 2}
    said = {turn.feedback for example in examples for turn in read_turns(example.text)}
    assert all("That is all" not in feedback for feedback in said)
    assert any(feedback.startswith("Let me see.\nStep ") for feedback in said)

    _, both = collected(tmp_path, recording, loaded, feedback="both")
    assert both["accepted"] == {"self_correct": 2, "improved": 8}
    assert both["agreement"] == {"agree": 16, "unreadable": 2}


def test_self_update_is_measured(cluster: None, tmp_path: Path, recording: Path, loaded: LoadedQuestions) -> None:
    config = Run.model_validate(sections(tmp_path / "run", recording))
    ctx, answerer = RunContext(config, None), make_recipe(config.recipe).answerer()
    evaluation = Evaluation(questions=config.questions)
    try:
        measured = evaluate_model(ctx, evaluation, "student", config.teacher, answerer, loaded)
    finally:
        ctx.close()
    updates = measured.updates
    assert updates is not None and updates["splits"] == {"seen": {name: updates[name] for name in NAMES}}
    assert (updates["tried"], updates["helped"], updates["hurt"]) == (4 / 12, 4 / 12, 0)
    assert (measured.accuracy, measured.n) == (updates["after"], updates["n"]) == (6 / 12, 12)
    assert updates["before"] == 2 / 12
    printed = Console(record=True, width=100, file=io.StringIO())
    printed.print(report.updates_table({"student": updates}))
    assert re.search(r"student.+seen.+12.+16\.7%.+50\.0%.+33\.3%.+33\.3%.+0\.0%", printed.export_text())


def test_right_attempts_alone_are_kept_and_all_others_accounted_for(
    cluster: None, tmp_path: Path, recording: Path, loaded: LoadedQuestions
) -> None:
    examples, account = collected(tmp_path, recording, loaded, learn="right_attempts")
    assert account["accepted"] == {"self_correct": 2, "improved": 0}
    assert account["rejected"] == {"unreadable_attempt": 2, "wrong_attempt": 8} and account["endings"]["limit"] == 4
    gold = {question.id: question.meta["rationale"] for question in loaded.questions}
    assert [example.text for example in examples] == [gold[example.question_id] for example in examples]
    assert account["kept"] == {"improvement": 0, "self_correct": 2, "gold": 0}


def test_iterations_take_turns_through_the_questions(loaded: LoadedQuestions) -> None:
    config = Run.model_validate(sections("run", "", questions_per_iteration=5)).recipe
    parts = [[q.id for q in attempted(loaded, config, iteration).questions] for iteration in (1, 2, 3)]
    assert [len(set(part)) for part in parts] == [5, 5, 5] and len({i for part in parts for i in part}) == 12
    assert attempted(loaded, config.model_copy(update={"questions_per_iteration": 12}), 1) is loaded
