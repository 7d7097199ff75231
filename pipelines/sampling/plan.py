"""Which prompts a sampling job sends, how many samples of each, and the requests that draw them."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from raydistill.actors.engine.requests import Request, Sampling
from raydistill.pipelines.data.records import Question, content_hash
from raydistill.pipelines.sampling.prompter import Prompt, Prompter
from raydistill.pipelines.sampling.teachers.shares import Share


class Completer(Protocol):
    """Anything that completes requests: a pool of engines, a beam search around one, a writer of faults."""

    async def call(self, method: str, *arguments: Any) -> Any:
        """``generate`` and a list of requests give the completions of all of them."""


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """Which prompts are sent for a question, how many samples of each are drawn, and how.

    A round draws n samples of each of `prompts_per_round` prompts, which take turns; so later rounds bring other
    contexts, and after as many turns the next n samples of the same. The samples of all rounds so far are wanted.
    """

    prompter: Prompter
    sampling: Sampling
    n: int
    seed: int
    rounds: int = 1
    prompts_per_round: int | None = None  # None: all
    purpose: str = ""  # what the engine's ledger books the tokens on
    adapter: str | None = None  # LoRA adapter of the model that is asked
    model: str = ""  # which is asked, stored with each completion
    share: Share | None = None  # of one of several teachers; None: all samples
    most: int | None = None  # samples of a question, over all prompts and rounds

    def wanted(self, question: Question) -> list[tuple[Prompt, Sequence[int]]]:
        """Each prompt with the indices of the samples that are wanted of it."""
        prompts = self.prompter.prompts(question)
        turns = self.rounds * (self.prompts_per_round or len(prompts))
        left, counts = self.n * turns if self.most is None else self.most, [0] * len(prompts)
        for turn in range(turns):  # in their order, so that those of an earlier round stay wanted
            drawn = min(self.n, left)
            counts[turn % len(prompts)] += drawn
            left -= drawn
        pairs = zip(prompts, counts, strict=True)
        if self.share is None:
            return [(prompt, range(count)) for prompt, count in pairs]
        return [(prompt, self.share.of(question, prompt.context, range(count))) for prompt, count in pairs]

    def sample_ids(self, question: Question) -> list[str]:
        return [f"{question.id}/{prompt.context}/{i}" for prompt, indices in self.wanted(question) for i in indices]

    def missing(self, question: Question, stored: Container[str]) -> list[Request]:
        """The requests for those samples of a question whose ids are not `stored`."""
        requests = []
        for prompt, wanted in self.wanted(question):
            indices = tuple(i for i in wanted if f"{question.id}/{prompt.context}/{i}" not in stored)
            if indices:
                requests.append(self.request(question, prompt, indices))
        return requests

    def request(self, question: Question, prompt: Prompt, indices: tuple[int, ...]) -> Request:
        """The request for these samples. Seeds of different prompts are far apart: sample i takes the first plus i."""
        return Request(
            id=f"{question.id}/{prompt.context}",
            prompt=prompt.messages,
            sampling=self.sampling,
            indices=indices,
            seed=int(content_hash(self.seed, question.id, prompt.context, length=12), 16),
            prefix=prompt.prefix,
            adapter=self.adapter,
            key=question.text,
            purpose=self.purpose,
        )
