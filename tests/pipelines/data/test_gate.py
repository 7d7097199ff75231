"""The gate: what stands in the evaluation set is not learned, whoever wrote it; and nothing else is left out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.data.examples import read_examples, write_examples
from raydistill.pipelines.data.gate import WORDING, Gate
from raydistill.pipelines.data.records import Example, Question, WeightedText
from raydistill.pipelines.run_config import load_config
from raydistill.pipelines.tasks import is_generated, load_questions
from tests import ROOT

LONG = "A farmer has 12 cows and 30 sheep and sells 5 of the cows to his neighbour on Monday. How many are left?"
HELD_OUT = [LONG, "What is 2 + 2?", "How many legs have 3 dogs?"]
OTHERS = ["What is 3 + 4?", "Who sold the cow?"]


def asked(texts: Sequence[str]) -> list[Question]:
    return [Question.make("table", text, "1") for text in texts]


def example(question: str, completion: str) -> Example:
    asked = ({"role": "user", "content": f"Answer.\n\nQuestion: {question}"},)
    return Example(f"e-{question}-{completion}", f"q-{question}", asked, (WeightedText(completion),))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("what is 2 + 2", "evaluation_copy"),
        ("What is 2 - 2?", None),  # the same words
        ("What is 2+2 ?!", "evaluation_copy"),
        ("HOW many legs: have 3 dogs", "evaluation_copy"),
        ("Say: how many legs have 3 dogs?", None),  # too short for an overlap
        ("Yesterday: " + LONG.replace("How many are left", "What remains"), "evaluation_overlap"),
        ("Yesterday: " + LONG.replace("30 sheep", "31 sheep").replace("neighbour", "son"), None),
    ],
)
def test_questions_are_left_out_for_their_reason(text: str, reason: str | None) -> None:
    kept, left_out = Gate(asked(HELD_OUT)).questions(asked([*OTHERS, text]))
    assert left_out == ({reason: 1} if reason else {})
    assert [question.text for question in kept] == OTHERS + [text] * (reason is None)


def test_of_templates_whole_questions_alone_are_compared() -> None:
    texts = ["Yesterday: " + LONG, LONG.lower()]
    assert Gate(asked(HELD_OUT), whole=True).questions(asked(texts))[1] == {"evaluation_copy": 1}
    assert is_generated("stepwise:dates") and is_generated("reasoning_gym:gsm_symbolic") and not is_generated("table")


@pytest.mark.parametrize("times", [WORDING - 1, WORDING])
def test_what_several_training_questions_have_is_wording(times: int) -> None:
    worded = [f"Case {number}: {LONG}" for number in range(times)]
    kept, left_out = Gate(asked(HELD_OUT)).questions(asked(worded))
    assert (len(kept), left_out) == ((0, {"evaluation_overlap": times}) if times < WORDING else (times, {}))


def test_copies_make_no_wording() -> None:
    copies = [LONG.lower(), LONG.upper(), LONG.replace(".", "!"), "Today: " + LONG]
    assert Gate(asked(HELD_OUT)).questions(asked(copies))[1] == {"evaluation_copy": 3, "evaluation_overlap": 1}


def test_completions_are_looked_at_and_the_rest_is_kept_under_a_key_of_its_own(tmp_path: Path) -> None:
    clean = [example(question, "It is 7.") for question in OTHERS]
    dirty = [example("Who?", f"As they say: {LONG}"), example("What?", "What is 2 + 2")]
    for name, made in (("clean", clean), ("mixed", [*clean, *dirty])):
        write_examples(made, str(tmp_path / name))
    gate = Gate(asked(HELD_OUT))
    gate.questions(asked(OTHERS))
    assert gate.examples(str(tmp_path / "clean"), str(tmp_path / "none")) == {"examples": 2, "left_out": {}}
    assert not (tmp_path / "none").exists()
    told = gate.examples(str(tmp_path / "mixed"), str(tmp_path / "kept"))
    assert told == {"examples": 2, "left_out": {"evaluation_overlap": 1, "evaluation_copy": 1}}
    assert list(read_examples(str(tmp_path / "kept"))) == clean


def test_prompts_are_looked_at_where_the_recipe_makes_its_own_questions(tmp_path: Path) -> None:
    worded = [example(f"Case {number}: {LONG}", "7") for number in range(WORDING)]
    write_examples([worded[0], example("Who?", "7")], str(tmp_path / "few"))
    write_examples(worded, str(tmp_path / "many"))
    assert Gate(asked(HELD_OUT)).examples(str(tmp_path / "few"), str(tmp_path / "kept"))["left_out"] == {
        "evaluation_overlap": 1
    }
    assert Gate(asked(HELD_OUT)).examples(str(tmp_path / "many"), str(tmp_path / "kept"))["left_out"] == {}


def test_the_key_says_what_decided() -> None:
    def key(held_out: list[str], texts: list[str], whole: bool = False) -> str:
        gate = Gate(asked(held_out), whole=whole)
        gate.questions(asked(texts))
        return gate.key

    keys = {key(HELD_OUT, OTHERS), key(HELD_OUT[1:], OTHERS), key(HELD_OUT, OTHERS[1:]), key(HELD_OUT, OTHERS, True)}
    assert len(keys) == 4 and key(HELD_OUT, OTHERS) == key(HELD_OUT[::-1], OTHERS[::-1])


@pytest.mark.parametrize("name", ["demo", "demo-mcc-kd", "demo-mixed", "demo-real", "demo-tripost", "demo-url"])
def test_the_demo_loses_no_question(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = load_config(f"configs/{name}.yaml")
    assert config.questions and config.evaluation and config.evaluation.decontamination == "auto"
    held_out = load_questions(config.evaluation.questions).questions
    same = {question.id for question in held_out}
    questions = [one for one in load_questions(config.questions).questions if one.id not in same]
    assert is_generated(config.evaluation.questions.task)
    assert Gate(held_out, whole=True).questions(questions)[1] == {}


@pytest.mark.skipif("RAYDISTILL_DATA" not in os.environ, reason="needs RAYDISTILL_DATA")
def test_real_questions_stay_in() -> None:
    path = "${RAYDISTILL_DATA}/gsm8k/train.jsonl"
    questions = load_questions(Questions(task="gsm8k", path=path)).questions
    gate = Gate(questions[:1000])
    _, left_out = gate.questions(questions[1000:])
    assert left_out.get("evaluation_copy", 0) == 0 and sum(left_out.values()) < len(questions) // 100, left_out
    assert gate.questions(questions[:100])[1]["evaluation_copy"] == 100
