"""From completions about a retrieved row to at most one example: form, guards, answers, label balance."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from raydistill.demo.target_task import solve
from raydistill.pipelines.data.decontamination import Guards
from raydistill.pipelines.data.rewritten import Rewritten, as_message, output_schema, parse
from raydistill.pipelines.recipes.rebase.config import ReBase
from raydistill.pipelines.recipes.rebase.rewriting import Rewriting, balanced, majority

CONFIG = ReBase.model_validate(
    {
        "target": {"instruction": "Add.", "examples": [{"input": "1 + 1", "reasoning": "It is 2.", "output": "2"}]},
        "datastore": "x",
    }
)
QUESTION = "Mia has {a} apples. Then {b} are bought. How many apples are there now?"


def answer(a: int, b: int, total: int | None = None) -> str:
    total = a + b if total is None else total
    return json.dumps({"input": QUESTION.format(a=a, b=b), "reasoning": f"{a} + {b} = {total}.", "output": str(total)})


def solved(text: str) -> str | None:
    """The answer that the demo's own solver of its target tasks gives."""
    found = solve(text)
    return None if found is None else str(found)


def rewriting(**settings: object) -> Rewriting:
    return Rewriting(CONFIG, Guards(evaluation=[QUESTION.format(a=8, b=9)]), **settings)  # type: ignore[arg-type]


def test_the_schema_asks_for_the_keys_of_the_examples_with_the_reasoning_first() -> None:
    schema = output_schema(("output", "input", "reasoning"))
    assert schema["required"] == list(schema["properties"]) == ["input", "reasoning", "output"]
    assert schema["additionalProperties"] is False and list(output_schema(("input", "output"))["properties"]) == [
        "input",
        "output",
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"input": " a ", "output": "b"}', Rewritten("a", "b")),
        ('{"input": "a", "output": "b"', "not_json"),
        ('["a", "b"]', "not_json"),
        ('{"input": "a"}', "not_json"),
        ('{"input": "a", "output": 3}', "not_json"),
        ('{"input": "a", "output": "b", "more": "c"}', "not_json"),
        ('{"input": "a", "output": " "}', "empty_field"),
    ],
)
def test_completions_are_parsed(text: str, found: Rewritten | str) -> None:
    assert parse(text, ("input", "output")) == found


def test_candidates_pass_the_guards_once() -> None:
    rewritten = rewriting(check=solved)
    texts = [answer(3, 4), answer(3, 4), answer(8, 9), "Sure!", answer(5, 6, 12)]
    candidates = rewritten.candidates(texts)
    assert [candidate.input for candidate in candidates] == [QUESTION.format(a=3, b=4), QUESTION.format(a=5, b=6)]
    assert rewritten.dropped == {"duplicate": 1, "evaluation_copy": 1, "not_json": 1}
    assert rewritten.candidates(['{"input": "How', "Sure!", answer(1, 1)], [True, False, True]) != []
    assert (rewritten.dropped["length"], rewritten.dropped["not_json"]) == (1, 2)


def test_a_checker_keeps_the_first_right_candidate() -> None:
    rewritten = rewriting(check=solved)
    other = json.dumps({"input": "Who is Mia?", "reasoning": "x", "output": "3"})
    candidates = rewritten.candidates([answer(3, 4, 8), other, answer(31, 4), answer(5, 46)])
    chosen = rewritten.choose(candidates)
    assert chosen == Rewritten(QUESTION.format(a=31, b=4), "35", "31 + 4 = 35.")
    assert +rewritten.dropped == Counter(wrong_answer=1, no_answer=1, surplus=1)
    assert rewritten.choose([]) is None


def test_without_a_checker_fresh_answers_must_agree() -> None:
    rewritten = rewriting()
    candidates = rewritten.candidates([answer(1, 2), answer(10, 20, 31), answer(40, 50)])
    chosen = rewritten.choose(candidates, [["3", "4", "5"], ["30", "30", "31"], ["90", "90.0", "91"]])
    assert chosen is not None and chosen.output == "90"
    assert +rewritten.dropped == Counter(no_majority=1, wrong_majority=1)
    assert rewritten.choose(candidates[:1], [["", "", "3"]]) is None and rewritten.dropped["no_majority"] == 2
    assert rewriting(votes=False).choose(candidates) == candidates[0]


@pytest.mark.parametrize(
    ("answers", "most"),
    [([], None), (["a"], "a"), (["a", "b"], None), (["a", "b", "a"], "a"), (["a", "b", "c", "a"], None)],
)
def test_a_majority_is_more_than_half(answers: list[str], most: str | None) -> None:
    assert majority(answers) == most


def test_labels_are_balanced_to_the_rarest() -> None:
    labels = ("entailment", "neutral", "contradiction")
    outputs = ["Entailment"] * 6 + ["neutral"] * 2 + ["contradiction"] * 4 + ["maybe"]
    examples = [Rewritten(f"q{number}", output) for number, output in enumerate(outputs)]
    kept = balanced(examples, labels, "text", seed=1)
    assert Counter(outputs[place].lower() for place in kept) == dict.fromkeys(labels, 2)
    assert kept == sorted(kept) and kept == balanced(examples, labels, "text", seed=1)
    assert kept != balanced(examples, labels, "text", seed=2)
    assert len(balanced(examples, (*labels, "unused"), "text")) == 6
    assert len(balanced(examples, labels, "text", most=5)) == 3 and balanced([], labels, "text") == []


def test_targets_end_in_the_answer() -> None:
    assert as_message(Rewritten("a", "3")) == "The answer is 3."
    assert as_message({"input": "a", "output": "3", "reasoning": "1 + 2 = 3."}) == "1 + 2 = 3.\nThe answer is 3."
