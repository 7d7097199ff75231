"""Mixed Distillation: both formats are asked, verified, learned and vote; each is measured alone, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from raydistill.actors.errors import UsageError
from raydistill.pipelines.data.examples import read_examples
from raydistill.pipelines.data.records import Question, Sample
from raydistill.pipelines.recipes.mixed.config import Mixed
from raydistill.pipelines.recipes.mixed.recipe import MixedDistillation, MixedOptions
from raydistill.pipelines.run import Runner
from raydistill.pipelines.run_config import Run
from tests.pipelines.recipes.test_versions import digests

QUESTION = Question("q", "What is 3 plus 3?", "6")
RIGHT = "```python\ndef solution():\n    return {i} + {i}\n```"
RAISES = "```python\ndef solution():\n    return missing\n```"
STATED = "{i} and {i} are {n}.\nTherefore, the answer is {n}."
ASKED = {"program": "Python function", "rationale": "step by step"}


def sample(form: str, index: int, output: str, value: str = "6", status: str = "passed") -> Sample:
    name = f"q/{form}-instruct/{index}"
    made = Sample(name, "q", index, output, output, status, "ok", value, 1, 1, "stop", 0)
    return Sample(**{field: getattr(made, field) for field in made.__dataclass_fields__} | {"format": form})


def test_two_tasks_are_told_apart_by_their_instruction_and_have_a_weight_each() -> None:
    recipe = MixedDistillation(Mixed(most=1, program_weight=0.5))
    for asked in (recipe.teacher.prompts(QUESTION), recipe.student.prompts(QUESTION)):
        assert [prompt.format for prompt in asked] == ["program", "rationale"]
        for prompt in asked:
            assert ASKED[prompt.format] in prompt.messages[-1]["content"]
    one, other = "def solution():\n    return 6", "Six.\nTherefore, the answer is 6."
    samples = [
        sample("program", 0, one),
        sample("program", 1, "def solution():\n    return 2 * 3"),
        sample("rationale", 0, other),
    ]
    selection = recipe.selector.select(QUESTION, samples)
    learned = {
        example.text: (example.completion[0].weight, example.messages[0]["content"]) for example in selection.examples
    }
    assert learned.keys() == {f"```python\n{one}\n```", other} and selection.dropped == {"over_limit": 1}
    for text, (weight, asked) in learned.items():
        form = "program" if "solution" in text else "rationale"
        assert weight == {"program": 0.5, "rationale": 1.0}[form] and ASKED[form] in asked
    assert recipe.selector.enough(QUESTION, samples) and not recipe.selector.enough(QUESTION, samples[:2])


def test_what_is_asked_and_read_changes_with_its_version_alone() -> None:
    """Otherwise raise the version, then write what `digests` gives here."""
    recipe, few = MixedDistillation(Mixed()), MixedDistillation(Mixed(prompt="few_shot"))
    found = digests(recipe.teacher) | digests(recipe.student) | digests(few.teacher)
    assert {name.split(" of ")[0]: digest for name, digest in found.items()} == {
        "asked mixed-instruct/1": "beda8ba88da3ad99",
        "asked mixed-few_shot/1": "600d15e7db049c22",
        "asked mixed/1": "729aaf027374acc4",
        "read 2": "69fec74d9135a0ad",
    }


def test_a_request_may_ask_for_one_format() -> None:
    recipe = MixedDistillation(Mixed())
    assert recipe.answerer().prompter.formats == ("program", "rationale")
    assert recipe.answerer(MixedOptions(formats=("rationale",))).prompter.formats == ("rationale",)
    assert set(recipe.answerers()) == {"programs", "rationales"}
    alone = MixedDistillation(Mixed(formats=("program",)))
    assert not alone.answerers()
    with pytest.raises(UsageError, match="has not learned rationale; expected of program"):
        alone.answerer(MixedOptions(formats=("rationale",)))
    with pytest.raises(ValidationError, match="has one twice"):
        Mixed(formats=("program", "program"))


@pytest.fixture
def config(tmp_path: Path) -> Run:
    """Recorded answers to six questions, the same to both prompts: a program that raises, a right one, a rationale."""
    rows: list[dict[str, str]] = []
    for i in range(6):
        texts = (RAISES if i % 2 else RIGHT, STATED)
        rows += [{"question": f"What is {i} plus {i}?", "completion": t.format(i=i, n=2 * i)} for t in texts]
    questions = [{"question": f"What is {i} plus {i}?", "answer": str(2 * i)} for i in range(6)]
    for name, lines in (("recorded", rows), ("questions", questions), ("held_out", questions[:4])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    told: dict[str, Any] = {
        "run_dir": str(tmp_path / "run"),
        "questions": {"task": "table", "path": str(tmp_path / "questions.jsonl")},
        "teacher": {"engine": "recorded", "model": str(tmp_path / "recorded.jsonl"), "n": 2},
        "recipe": {"recipe": "mixed"},
        "evaluation": {
            "questions": {"task": "table", "path": str(tmp_path / "held_out.jsonl")},
            "models": ["teacher"],
            "n": 2,
        },
    }
    return Run.model_validate(told)


def test_formats_are_stored_verified_and_vote(cluster: None, config: Run) -> None:
    runner = Runner(config)
    try:
        examples = runner.start().synthesize()
        runner.evaluate(["teacher"])
    finally:
        runner.close()
    root = Path(config.run_dir)
    stored = [row for path in root.glob("completions/*/*.parquet") for row in pq.read_table(path).to_pylist()]
    assert {(row["context"], row["format"]) for row in stored} >= {
        ("program-instruct", "program"),
        ("rationale-instruct", "rationale"),
    }
    learned = [example.meta["context"] for example in read_examples(examples.folder)]
    kept = learned.count("program-instruct"), learned.count("rationale-instruct")
    assert kept == (1, 2)  # of the two questions that are not held out
    score = runner.report["evaluation"]["teacher"]
    assert score["accuracy"] == 0.5  # greedily both prompts get the program, which raises for odd numbers
    assert score["majority"] == score["pass_at_n"] == 1.0  # of two samples each a rationale is one
