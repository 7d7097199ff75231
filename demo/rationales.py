"""Rationales of ``gsm_symbolic`` in several wordings and step orders, all ending in the canonical answer sentence.

    label     Second amount: 13 - 3 = 10.
    ordinal   First, 13 - 3 = 10, so the second amount is 10.
    need      We need the second amount, and 13 - 3 = 10.
    remark    13 - 3 = 10 (second amount)
    numbered  Step 1 is to find the second amount:\\n13 - 3 = 10
    variable  Let a be the second amount. Then 13 - 3 = 10 and a = 10.

One wording is kept through a rationale; independent steps come in any order. MCC-KD (arXiv 2310.14747) trains on
several different rationales of one question, so what counts as different is measured as there: by the Jaccard
similarity of word 3-grams (`pipelines.recipes.mcc_kd.diversity`).
"""

from collections.abc import Callable, Sequence
from random import Random

from raydistill.demo import gold, gsm, worked
from raydistill.demo.prompts import ANSWER_SENTENCE, rationale_prompt
from raydistill.demo.skill import Example
from raydistill.pipelines.recipes.mcc_kd import diversity
from raydistill.pipelines.tasks.answers import compare, parse_answer

NGRAM = 3  # words
MAX_SIMILARITY = 0.8  # Jaccard; from here on two rationales count as the same

Wording = Callable[[int, bool, worked.Step], str]
"""The line of a step: its position from 0, whether it is the last one, and the step."""


def rationale(question: gsm.Instance, rng: Random) -> Example:
    """A question with its gold rationale, the wording and the order of independent steps drawn by `rng`."""
    steps = worked.steps(gold.program(question), rng)
    wording = rng.choice(list(WORDINGS))
    return Example(rationale_prompt(question.question), render(steps, wording), question, key=question.answer)


def render(steps: Sequence[worked.Step], wording: str) -> str:
    """Steps in one of ``WORDINGS``, a line each, and the answer sentence with the last step's value."""
    last = len(steps) - 1
    lines = [WORDINGS[wording](i, i == last, step) for i, step in enumerate(steps)]
    return "\n".join([*lines, ANSWER_SENTENCE.format(answer=steps[-1].value)])


def rationale_check(examples: Sequence[Example], completions: Sequence[str]) -> list[bool]:
    """Whether each rationale states the example's gold answer (its `key`), a number."""
    return [
        compare(parse_answer(text, "numeric") or "", example.key, "numeric")
        for example, text in zip(examples, completions, strict=True)
    ]


def distinct_rationales(completions: Sequence[str]) -> int:
    """Size of a greedily chosen set of texts, in their order, with pairwise similarity below ``MAX_SIMILARITY``."""
    return len(diversity.distinct(diversity.similarities(completions, NGRAM), MAX_SIMILARITY))


def _label(position: int, last: bool, step: worked.Step) -> str:
    return f"{step.name.capitalize()}: {step.calculation}."


def _ordinal(position: int, last: bool, step: worked.Step) -> str:
    opening = "Finally" if last else "Next" if position else "First"
    return f"{opening}, {step.calculation}, so the {step.name} is {step.value}."


def _need(position: int, last: bool, step: worked.Step) -> str:
    return f"We {'also ' if position else ''}need the {step.name}, and {step.calculation}."


def _remark(position: int, last: bool, step: worked.Step) -> str:
    return f"{step.calculation} ({step.name})"


def _numbered(position: int, last: bool, step: worked.Step) -> str:
    return f"Step {position + 1} is to find the {step.name}:\n{step.calculation}"


def _variable(position: int, last: bool, step: worked.Step) -> str:
    name = "abcdefgh"[position]
    return f"Let {name} be the {step.name}. Then {step.calculation} and {name} = {step.value}."


WORDINGS: dict[str, Wording] = {
    "label": _label,
    "ordinal": _ordinal,
    "need": _need,
    "remark": _remark,
    "numbered": _numbered,
    "variable": _variable,
}
