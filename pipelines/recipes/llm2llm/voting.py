"""The answers of new questions: a question is learned where enough of the teacher's programs for it return the same.

programs of a question --sandbox--> values --most frequent, `agree` of them--> its answer --> programs that return it
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from raydistill.pipelines.data.records import Example, Question, Sample
from raydistill.pipelines.recipes.llm2llm.config import LLM2LLM
from raydistill.pipelines.sampling.prompter import Selector

VOTING_VERSION = "1"


def agreed(values: Sequence[str], least: int) -> str | None:
    """The value that at least `least` programs returned, which is more than half of them; None where there is none."""
    common = Counter(value for value in values if value).most_common(1)
    return common[0][0] if common and common[0][1] >= least else None


def learned(
    config: LLM2LLM, selector: Selector, questions: Sequence[Question], programs: Mapping[str, Sequence[Sample]]
) -> tuple[list[Example], Counter[str], int]:
    """The examples of new questions, how many were dropped for which reason, and how many lack a verdict.

    `programs` are the judged samples of each question, by its id: passed says that a program ran and returned a value.
    """
    examples, dropped, unknown = list[Example](), Counter[str](), 0
    for question in questions:
        samples = programs.get(question.id, ())
        if len(samples) < config.votes:
            unknown += 1
            continue
        ran = [sample for sample in samples if sample.status == "passed"]
        answer = agreed([sample.value for sample in ran], config.agree)
        if answer is None:
            dropped["no_agreement" if len(ran) >= config.agree else "no_program"] += 1
            continue
        answered = replace(question, answer=answer)
        right = [sample for sample in ran if sample.value == answer]
        told = question.meta | {"question": question.text, "votes": len(right)}
        kept = selector.select(answered, right).examples
        examples += [replace(example, meta={**example.meta, **told}) for example in kept]
    return examples, dropped, unknown
