"""New questions of the teacher: what it is asked about a seed, and which of its replies may be learned.

    failed seed, the student's attempt, right seeds --wording--> prompt --teacher--> JSON --form, guards--> new question

Everything that is dropped is counted with its reason:

    length, not_json, empty_field             cut off at the token limit, not what the schema asks for, or empty
    evaluation_copy, evaluation_overlap       it stands in the evaluation set (`data.gate`)
    duplicate, too_alike                      a seed or an earlier new question, or nearly one (ROUGE-L)
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from random import Random

from raydistill.pipelines.data.gate import Gate, spelling
from raydistill.pipelines.data.records import Question, Sample, content_hash
from raydistill.pipelines.data.rewritten import Rewritten, parse
from raydistill.pipelines.data.rouge import most_alike, tokens, too_alike
from raydistill.pipelines.recipes.llm2llm.config import LLM2LLM
from raydistill.pipelines.sampling.prompter import Format, Prompt, Prompter

WRITING_VERSION = "1"
"""Of what is shown of seeds and attempts, and of the guards: raise it where other questions may come out."""

Attempt = tuple[Question, Sample]
"""A seed, and what the student wrote for it."""


def chosen(config: LLM2LLM, number: int, tried: Sequence[Attempt]) -> list[Attempt]:
    """What is written about in a round (from 1): the failed attempts of those with a verdict, or as many of all."""
    failed = [one for one in tried if one[1].status == "failed"]
    return failed if config.about == "failed" else Random(f"{config.seed}/{number}").sample(tried, len(failed))


def ask_as_it_stands(question: Question) -> list[Prompt]:
    """The prompt is the question's text, which `demand` has made."""
    return [Prompt("similar", [{"role": "user", "content": question.text}])]


def read_question(text: str, form: Format, *, keys: Sequence[str]) -> str | None:
    """The completion, if it has the form asked for."""
    return text if isinstance(parse(text, keys), Rewritten) else None


def writer(config: LLM2LLM) -> Prompter:
    """How new questions are asked for."""
    beside = "".join(f"-{key}" for key in config.keys if key != "input")
    read = partial(read_question, keys=config.keys)
    return Prompter(ask_as_it_stands, read, f"llm2llm-similar{beside}/1", reader="1", reads_cut_off=True)


def demands(config: LLM2LLM, about: Sequence[Attempt], right: Sequence[Question]) -> Iterator[Question]:
    """What is asked about each of these seeds; the nearest `right` ones are shown beside it."""
    shown = [tokens(question.text) for question in right] if config.contrast else []
    for seed, attempt in about:
        near = [right[place] for place in most_alike(tokens(seed.text), shown, config.contrast)]
        text = demand(config, seed, attempt, near)
        yield Question(content_hash("llm2llm", seed.id, text), text, "").noting(seed=seed.id)


def demand(config: LLM2LLM, seed: Question, attempt: Sample, near: Sequence[Question]) -> str:
    """The demand for a question like `seed`, which the student has failed in `attempt`, unlike those `near` it."""
    right = "".join(f"- {question.text}\n" for question in near)
    examples = [json.dumps({"input": question.text}, ensure_ascii=False) for question in [*reversed(near), seed]]
    return config.wording.format(
        question=seed.text,
        answer=seed.answer,
        attempt=_told(attempt),
        right=f"\nQuestions like it that the student answers rightly:\n{right}" if near else "",
        examples="\n".join(examples),
    )


def _told(attempt: Sample) -> str:
    """What the student wrote, and what came of it."""
    came = f"It returned {attempt.value}." if attempt.value else f"It failed: {attempt.detail or attempt.reason}."
    return f"{attempt.output or attempt.text}\n{came}"


class NewQuestions:
    """Takes new questions one after another, unless they are among those that are known, nearly so, or held out."""

    def __init__(self, config: LLM2LLM, gate: Gate | None, known: Iterable[str]) -> None:
        self._gate, self._most, self._keys = gate, config.rouge, config.keys
        self._tokens, self._spelt = list[list[str]](), set[int]()
        for text in known:
            self._remember(text)
        self.dropped = Counter[str]()

    def take(self, replies: Mapping[str, Sequence[Sample]]) -> Iterator[tuple[str, str]]:
        """The questions in these replies that may be learned, each with the id of its seed."""
        for seed, said in replies.items():
            for reply in said:
                found = parse(reply.text, self._keys)
                if found == "not_json" and reply.finish_reason == "length":
                    found = "length"
                reason = found if isinstance(found, str) else self._reason(found.input)
                if reason:
                    self.dropped[reason] += 1
                elif isinstance(found, Rewritten):
                    self._remember(found.input)
                    yield seed, found.input

    def _reason(self, text: str) -> str | None:
        if self._gate and (reason := self._gate.reason(text)):
            return reason
        if spelling(text) in self._spelt:
            return "duplicate"
        return "too_alike" if too_alike(tokens(text), self._tokens, self._most) else None

    def _remember(self, text: str) -> None:
        self._tokens.append(tokens(text))
        self._spelt.add(spelling(text))
