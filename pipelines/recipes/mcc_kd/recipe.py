"""MCC-KD, multi-CoT consistent knowledge distillation (arXiv 2310.14747): diverse rationales, consistent answers.

Needs a teacher that reasons in words and questions with gold answers. Of the teacher's rationales those with the right
final answer remain; near-duplicates leave, and the K least alike by n-gram Jaccard similarity become examples, all
ending in one canonical answer sentence. Each epoch trains a random pair of each question's rationales by
cross-entropy plus alpha times the mean KL divergence of both directions between their answer distributions
(`training/losses/consistency.py`).

The authors' code lacks selection and span search and cannot run its training; their evident intent is followed.
Unlike it: answer tokens are compared where a causal model predicts them, and pairs whose answers share no token are
counted and trained by cross-entropy alone. Controls: `select: random` and `similar`, `rationales: 1`, `alpha: 0` (pairs
without consistency), `filter: false`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from raydistill.pipelines.data.records import Consistency, Example, Question, Sample, WeightedText, content_hash
from raydistill.pipelines.prompts import render
from raydistill.pipelines.recipes.mcc_kd.config import MccKD
from raydistill.pipelines.sampling.diversity import pick
from raydistill.pipelines.sampling.prompter import Prompt, Selection
from raydistill.pipelines.tasks.answers import canonical, infer_kind
from raydistill.pipelines.tasks.extract import final_reply, until_next_question

ENDING = "Therefore, the answer is {answer}."
_REST = r"(?:(?![.!?]\s)[^\n])*\Z"  # of the last sentence
_STATED = re.compile(
    r"(?:^|\n)[ \t]*(?:####|(?:(?:the )?(?:final )?answer|a)[ \t]*:)[^\n]*\Z"  # a last line #### 18, A: 18, Answer: 18
    r"|(?:^|(?<=\n)|(?<=[.!?]\s))(?:(?:therefore|thus|hence|so|then|and)\b,?[ \t]*)*"  # Therefore, the answer is 18.
    rf"(?:the[ \t]+)?(?:(?:final|correct|right|best)[ \t]+)?(?:answer|option|choice)[ \t]+(?:is|=){_REST}"
    r"|<answer>(?:(?!<answer>).)*\Z",
    re.IGNORECASE | re.DOTALL,
)


class MultiCotConsistentDistillation:
    """The recipe of MCC-KD: several rationales per question, the most diverse right ones, trained in pairs."""

    name = "mcc_kd"
    executes = False

    def __init__(self, config: MccKD) -> None:
        self.config = config

    def prompts(self, question: Question) -> list[Prompt]:
        """One prompt per question; n samples of it are drawn, round after round."""
        return [Prompt(f"rationale-{self.config.prompt}", render(self.config.prompt, "rationale", question.text))]

    def student_prompt(self, question: Question) -> Prompt:
        return Prompt("rationale", render("instruct", "rationale", question.text))

    def extract(self, text: str) -> str | None:
        return until_next_question(final_reply(text)).strip() or None

    def enough(self, question: Question, samples: Sequence[Sample]) -> bool:
        """Whether there are K right rationales of which none is a near-duplicate of another."""
        return len(self.select(question, samples).examples) >= self.config.rationales

    def select(self, question: Question, samples: Sequence[Sample]) -> Selection:
        """At most K distinct right rationales, chosen as `config.select` says."""
        dropped: Counter[str] = Counter()
        usable: list[tuple[Sample, str]] = []
        for sample in samples:
            if sample.status == "unknown" or self.config.filter and sample.status != "passed":
                dropped[sample.reason] += 1
            elif not sample.value or not (reasoning := without_ending(sample.output)):
                dropped["no_rationale"] += 1
            else:
                usable.append((sample, reasoning))
        chosen, duplicates = pick(
            [reasoning for _, reasoning in usable],
            self.config.rationales,
            self.config.select,
            n=self.config.ngram,
            threshold=self.config.near_duplicate,
            seed=f"{self.config.seed}/{question.id}",
        )
        dropped["near_duplicate"] += len(duplicates)
        dropped["over_limit"] += len(usable) - len(chosen) - len(duplicates)
        return Selection([self._example(question, *usable[place]) for place in chosen], dict(+dropped))

    def _example(self, question: Question, sample: Sample, reasoning: str) -> Example:
        """Examples of a question are of one group where they end in the same answer."""
        answer = gold_text(question) if sample.status == "passed" else sample.value
        completion = f"{reasoning}\n{ENDING.format(answer=answer)}"
        several = self.config.rationales > 1
        return Example(
            id=content_hash(self.name, sample.id, completion),
            question_id=question.id,
            messages=tuple(self.student_prompt(question).messages),
            completion=(WeightedText(completion),),
            group=f"{question.id}/{answer}",
            answer=answer,
            source=sample.id,
            consistency=Consistency(self.config.alpha, self.config.temperature) if several else None,
        )


def without_ending(rationale: str) -> str:
    """`rationale` without the lines or sentences at its end that only state the answer; "" if it has no others."""
    text, shorter = rationale.strip(), _STATED.sub("", rationale.strip()).rstrip()
    while shorter != text:
        text, shorter = shorter, _STATED.sub("", shorter).rstrip()
    return text


def gold_text(question: Question) -> str:
    """The gold answer as the ending writes it: 1080 for $1,080.00, B for (B); words as the task writes them."""
    choices = question.meta.get("choices")
    kind = "choice" if choices else infer_kind([question.answer])
    return question.answer.strip() if kind == "text" else canonical(question.answer, kind, choices)
