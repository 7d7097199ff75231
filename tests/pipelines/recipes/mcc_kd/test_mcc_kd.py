"""The recipe: which rationales become examples, how they end, what asks for consistency; runs of it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raydistill.pipelines.data.records import Consistency, Question, Sample
from raydistill.pipelines.recipes.mcc_kd.config import MccKD
from raydistill.pipelines.recipes.mcc_kd.recipe import DiverseRationales, gold_text, without_ending
from raydistill.pipelines.run import Runner
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.tasks.base import grade_answer

QUESTION = Question.make("gsm8k", "Ann has 3 pears and buys 4. How many now?", "7")
TEXTS = [
    "She starts with 3 pears. After buying 4 she has 3 + 4 = 7.\nTherefore, the answer is 7.",
    "She starts with 3 pears. After buying 4 she has 3 + 4 = 7.\n#### 7",
    "Count on from 3: four, five, six, seven. So the answer is 7.",
    "Buying means adding, and 4 added to 3 makes 7\nA: 7",
    "3 - 4 = -1. Therefore, the answer is -1.",
    "I cannot tell.",
    "The answer is 7.",
]


def sample(index: int, text: str, question: Question = QUESTION) -> Sample:
    grade = grade_answer(text, question.answer, "numeric")
    name = f"{question.id}/r/{index}"
    made = Sample(name, question.id, index, text, text, grade.status, grade.reason, grade.parsed, 9, 9, "stop", index)
    return made


SAMPLES = [sample(index, text) for index, text in enumerate(TEXTS)]


def recipe(**settings) -> DiverseRationales:
    return DiverseRationales(MccKD(**settings))


def test_right_and_distinct_rationales_become_examples_with_one_ending():
    selection = recipe(rationales=2, alpha=0.2, temperature=1.3, ngram=1).select(QUESTION, SAMPLES)
    assert [example.source[-1] for example in selection.examples] == ["0", "2"]
    for example in selection.examples:
        *_, ending = example.text.split("\n")
        assert ending == "Therefore, the answer is 7."
        assert example.text.count("answer is") == 1
        assert (example.answer, example.consistency) == ("7", Consistency(0.2, 1.3))
        assert example.messages[0]["content"].endswith(QUESTION.text)
    assert len({example.group for example in selection.examples}) == 1
    expected = {"wrong_answer": 1, "no_answer": 1, "no_rationale": 1, "near_duplicate": 1, "over_limit": 1}
    assert selection.dropped == expected
    assert len(selection.examples) + sum(expected.values()) == len(SAMPLES)


def test_unknown_samples_are_never_used():
    unknown = replace(SAMPLES[0], status="unknown", reason="engine_error")
    for filtered in (True, False):
        selection = recipe(filter=filtered).select(QUESTION, [unknown])
        assert not selection.examples and selection.dropped == {"engine_error": 1}


def test_enough_are_k_distinct_right_rationales():
    two = recipe(rationales=2)
    assert not two.enough(QUESTION, SAMPLES[:2])  # the second is the first one again
    assert two.enough(QUESTION, SAMPLES[:3])
    assert not recipe(rationales=4).enough(QUESTION, SAMPLES)
    assert not two.enough(QUESTION, [])


def test_selection_is_most_diverse_and_the_controls_are_not():
    def pair(how: str) -> set[str]:
        return {
            example.source[-1] for example in recipe(rationales=2, select=how, ngram=1).select(QUESTION, near).examples
        }

    near = [SAMPLES[0], sample(8, "She starts with 3 pears. After buying 4 there are 3 + 4 = 7 now.\nA: 7"), SAMPLES[2]]
    assert pair("similar") == {"0", "8"}
    assert "2" in pair("diverse")
    assert pair("random") == pair("random")


def test_a_single_rationale_asks_for_no_consistency_and_alpha_zero_still_pairs():
    assert recipe(rationales=1).select(QUESTION, SAMPLES).examples[0].consistency is None
    assert recipe(rationales=2, alpha=0).select(QUESTION, SAMPLES).examples[0].consistency == Consistency(0.0, 1.0)


def test_unfiltered_rationales_end_in_their_own_answer_and_pair_with_the_same():
    examples = recipe(rationales=9, filter=False, near_duplicate=1.01).select(QUESTION, SAMPLES).examples
    assert sorted(example.answer for example in examples) == ["-1", "7", "7", "7", "7"]
    assert {example.group.rpartition("/")[2] for example in examples} == {"7", "-1"}
    assert examples[-1].text == "3 - 4 = -1.\nTherefore, the answer is -1."


@pytest.mark.parametrize(
    ("rationale", "rest"),
    [
        ("3 + 4 = 7.\nTherefore, the answer is 7.", "3 + 4 = 7."),
        ("3 + 4 = 7. So the correct answer is 3.5 dollars.", "3 + 4 = 7."),
        ("It is 3.5 + 1.\n#### 4.5\n", "It is 3.5 + 1."),
        ("Text\n\nAnswer: (B)", "Text"),
        ("Text\nA: 18", "Text"),
        ("Deserts are dry, so the correct option is (B).", "Deserts are dry, so the correct option is (B)."),
        ("She has 3.5 and so the answer is 7.", "She has 3.5 and so the answer is 7."),
        ("Deserts are dry. The correct choice is (B) the desert.", "Deserts are dry."),
        ("Half of it.\nSo the answer is 7.\nA: 7", "Half of it."),
        ("A: the first step.\nThen 7.", "A: the first step.\nThen 7."),
        ("The answer is large. It is 7.", "The answer is large. It is 7."),
        ("Therefore, the answer is 7.", ""),
        ("All in all <answer>7</answer>", "All in all"),
        ("", ""),
    ],
)
def test_endings_that_only_state_the_answer_are_removed(rationale, rest):
    assert without_ending(rationale) == rest


@pytest.mark.parametrize(
    ("answer", "meta", "text"),
    [
        ("$1,080.00", {}, "1080"),
        ("51.0", {}, "51"),
        ("(B)", {"choices": {"A": "sea", "B": "desert"}}, "B"),
        ("desert", {"choices": {"A": "sea", "B": "desert"}}, "B"),
        ("The Red House", {}, "The Red House"),
        ("yes", {}, "yes"),
    ],
)
def test_gold_answer_has_one_spelling(answer, meta, text):
    assert gold_text(Question("q", "?", answer).noting(**meta)) == text


# From recorded completions to examples and a student, with a real Ray


def write_lines(path: Path, rows: list[dict[str, str]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def synthesized(
    folder: Path, questions: dict[str, str], rows: list[dict[str, str]], **sections: Any
) -> tuple[Any, Any]:
    """A run over recorded `rows`; returns its runner and its examples."""
    teacher = {"engine": "recorded", "model": write_lines(folder / "recorded.jsonl", rows)}
    config = {"run_dir": str(folder / "run"), "questions": questions, "teacher": teacher | sections.pop("teacher")}
    runner = Runner(Run.model_validate(config | sections))
    try:
        return runner, runner.start().synthesize()
    finally:
        runner.close()


def test_recorded_rationales_become_pairs_that_train(
    cluster: None, questions_file: Path, tmp_path: Path, tiny_model: str
):
    ways = ("Twice {i} is {n}.\nTherefore, the answer is {n}.", "{i} + {i} = {n}\n#### {n}", "None.\nA: 99")
    rows = [
        {"question": f"What is {i} plus {i}?", "completion": way.format(i=i, n=2 * i)}
        for i in range(12)
        for way in ways
    ]
    train = {"student": tiny_model, "learning_rate": 1e-3, "epochs": 1, "validation_fraction": 0, "max_length": 256}
    sections = {"recipe": {"recipe": "mcc_kd", "rationales": 2, "alpha": 0.5}, "train": train, "teacher": {"n": 3}}
    runner, examples = synthesized(tmp_path, {"task": "table", "path": str(questions_file)}, rows, **sections)
    assert runner.report["recipe"] == "mcc_kd"
    assert (runner.report["verification"]["passed"], runner.report["examples"]) == (24, 24)
    counts = {"correct": 24, "selected": 24, "questions": 12, "pairs": 12, "with_span": 12}
    assert runner.report["mcc_kd"] == counts
    result = runner.train(examples)
    assert result.pairs == {"questions": 12, "pairs": 12, "with_span": 12}
    assert [row[0] for row in result.history["consistency"]] == [*range(1, result.steps + 1)]


MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")


@pytest.mark.skipif("RAYDISTILL_DATA" not in os.environ, reason="RAYDISTILL_DATA is not set")
def test_real_rationales_are_graded_selected_and_aligned(cluster: None, tmp_path: Path, tiny_model: str):
    """All 660 x 4: graded as their authors did, and a span in every pair."""
    path = Path(os.environ["RAYDISTILL_DATA"], "gsm8k_model_solutions", "part.jsonl")
    given = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [{"question": row["question"], "completion": row[model]["solution"]} for row in given for model in MODELS]
    questions = {"task": "gsm8k", "path": str(path), "answer_column": "ground_truth"}
    sections = {
        "recipe": {"recipe": "mcc_kd"},
        "train": {"student": tiny_model, "max_length": 4096},
        "teacher": {"n": 4},
    }
    runner, _ = synthesized(tmp_path, questions, rows, **sections)
    right = sum(row[model]["is_correct"] for row in given for model in MODELS)
    report = runner.report
    assert (report["verification"]["programs"], report["verification"]["passed"]) == (2640, right)
    assert report["examples"] + sum(report["selection"]["dropped"].values()) == 2640
    assert report["examples"] > 0.9 * right
    counts = report["mcc_kd"]
    assert (counts["correct"], counts["selected"]) == (right, report["examples"])
    assert counts["pairs"] > 800
    assert counts["with_span"] >= 0.99 * counts["pairs"]
