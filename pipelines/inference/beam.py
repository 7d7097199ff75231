"""Step-by-step verification (arXiv 2305.13888, section 2.4): beam search over the lines of a program.

    hypotheses --engine, up to the next line end--> candidates --faithfulness, execution--> the best `width` of them

A step is a line. Each live hypothesis is continued greedily and by samples; with a verifier, each completed step is
scored by its faithfulness to the question, and with an executor, candidates whose program so far raises are dropped.
Without either this is the plain beam of equal width that both are to be compared with.

One rule ranks all hypotheses, finished or not: (sum of token log-probabilities + sum over steps of log f) / tokens,
where f, in [0, 1], is the faithfulness of a step and tokens counts all generated tokens, the end of turn included. (In
the released code finished hypotheses never receive the score of their last steps, and the sum with it is divided by
length only for some.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

from raydistill.actors.engine.requests import Completion, Request
from raydistill.actors.storage import local_path
from raydistill.pipelines.config.sections import Beam
from raydistill.pipelines.data.records import content_hash
from raydistill.pipelines.inference.faithfulness import ProgramSoFar, steps
from raydistill.pipelines.sampling.plan import Completer

Decode = Callable[[Sequence[int]], str]
SCORE_DECIMALS = 5
BEAM_VERSION = "1"  # part of keys: raised where a search may come to another answer


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What a beam has written: tokens, their text, the sum of their log-probabilities, the sum of its steps' log f."""

    ids: tuple[int, ...] = ()
    text: str = ""
    logprob: float = 0.0
    faithfulness: float = 0.0
    finished: bool = False

    @property
    def score(self) -> float:
        """What hypotheses are ranked by, whatever their status."""
        return (self.logprob + self.faithfulness) / max(1, len(self.ids))

    @property
    def completed(self) -> str:
        """The text up to the end of the last completed line."""
        return self.text if self.finished else self.text[: self.text.rfind("\n") + 1]


class TokenDecoder:
    """The text of token ids, by the tokenizer of a model; loaded at first use, so that it travels light."""

    def __init__(self, model: str, revision: str | None) -> None:
        self._model, self._revision = local_path(model), revision

    @cached_property
    def _tokenizer(self) -> Any:
        from raydistill.pipelines.training.tokens import load_tokenizer

        return load_tokenizer(self._model, self._revision)

    def __call__(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)


class Verifier(Protocol):
    """What scores steps (`pipelines.inference.faithfulness.Faithfulness`)."""

    def log(self, question: str, lines: Sequence[str]) -> float:
        """The sum over the lines of the logarithm of their faithfulness to the question."""


def best(candidates: Sequence[Hypothesis], width: int) -> list[Hypothesis]:
    """The `width` best candidates, the best first; of those with the same text and status the better one.

    Scores that differ by no more than the processors that compute them do are ties, which the tokens decide.
    """
    ranked = sorted(candidates, key=lambda hypothesis: (-round(hypothesis.score, SCORE_DECIMALS), hypothesis.ids))
    distinct: dict[tuple[str, bool], Hypothesis] = {}
    for hypothesis in ranked:
        distinct.setdefault((hypothesis.text, hypothesis.finished), hypothesis)
    return list(distinct.values())[:width]


@dataclass(slots=True)
class Search:
    """The search for one request; `tokens` is what all candidates have cost together."""

    request: Request
    beams: list[Hypothesis] = field(default_factory=lambda: [Hypothesis()])
    lines: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    error: str = ""

    @property
    def live(self) -> list[Hypothesis]:
        """The hypotheses that go on: not finished, and with tokens left of those allowed to each."""
        limit = self.request.sampling.max_tokens
        return [beam for beam in self.beams if not beam.finished and len(beam.ids) < limit]


class BeamSearch:
    """Stands where engines stand: completes each request with the best hypothesis of a beam search.

    `engines` writes lines, `decode` gives the text of token ids, `executors` runs programs.
    """

    def __init__(
        self,
        config: Beam,
        engines: Completer,
        decode: Decode,
        verifier: Verifier | None = None,
        executors: Completer | None = None,
    ) -> None:
        self._config, self._engines, self._decode, self._verifier = config, engines, decode, verifier
        self._programs = ProgramSoFar(executors) if executors else None

    async def call(self, method: str, *arguments: Any) -> list[Completion]:
        (requests,) = arguments
        return list(await asyncio.gather(*map(self._answer, requests)))

    async def _answer(self, request: Request) -> Completion:
        """The best finished hypothesis; where none is finished within the lines allowed, the best one."""
        search = Search(request)
        while search.live and not search.error and search.lines < self._config.max_lines:
            await self._advance(search)
        winner = next((beam for beam in search.beams if beam.finished), search.beams[0])
        return Completion(
            request.id,
            request.indices[0],
            text=winner.text,
            reasoning="",
            finish_reason="error" if search.error else "stop" if winner.finished else "length",
            prompt_tokens=search.prompt_tokens,
            completion_tokens=search.tokens,
            seed=request.seed,
            engine="beam",
            error=search.error,
        )

    async def _advance(self, search: Search) -> None:
        """Continue every live hypothesis by a line, and keep the best of these and the others."""
        asked = [
            (beam, request)
            for place, beam in enumerate(search.live)
            for request in self._next_lines(search, place, beam)
        ]
        written: list[Completion] = await self._engines.call("generate", [request for _, request in asked])
        parents = [beam for beam, request in asked for _ in request.indices]
        search.error = next((completion.error for completion in written if completion.error), "")
        if search.error:
            return
        search.lines += 1
        search.prompt_tokens = search.prompt_tokens or written[0].prompt_tokens
        search.tokens += sum(completion.completion_tokens for completion in written)
        candidates = [beam for beam in search.beams if beam not in search.live]
        candidates += [self._continued(*pair) for pair in zip(parents, written, strict=True)]
        search.beams = best(await self._verified(search.request.key, candidates), self._config.width)

    def _next_lines(self, search: Search, place: int, beam: Hypothesis) -> list[Request]:
        """The requests for a hypothesis' next line: one greedy, and samples with seeds of their own."""
        given = search.request.sampling
        drawn = replace(
            given,
            max_tokens=given.max_tokens - len(beam.ids),
            temperature=self._config.temperature,
            stop=("\n",),
            logprobs=0,
        )
        identity = f"{search.request.id}/line-{search.lines}-{place}"
        request = replace(
            search.request,
            id=identity,
            prefix_ids=beam.ids,
            sampling=drawn,
            indices=tuple(range(self._config.candidates - 1)),
            seed=int(content_hash(search.request.seed, identity, length=12), 16),
        )
        greedy = replace(request, id=f"{identity}-greedy", sampling=replace(drawn, temperature=0.0), indices=(0,))
        return [greedy, request] if request.indices else [greedy]

    def _continued(self, beam: Hypothesis, line: Completion) -> Hypothesis:
        """A hypothesis with a line more. It is finished when the model ends its turn, or closes the program's fence."""
        ids = (*beam.ids, *line.token_ids)
        text = self._decode(ids)
        logprobs = line.logprobs or ()
        spent = sum(step[token] for step, token in zip(logprobs, line.token_ids, strict=True))
        ended = line.finish_reason == "stop" and "\n" not in self._decode(line.token_ids)
        closed = text.rstrip().endswith("```") and "\n" in text.rstrip()
        return Hypothesis(ids, text, beam.logprob + spent, finished=ended or closed)

    async def _verified(self, question: str, candidates: list[Hypothesis]) -> list[Hypothesis]:
        """The candidates with the faithfulness of all their steps, without those whose program so far raises.

        Where every program raises all stay: some answer has to be given.
        """
        if self._programs:
            raising = await self._programs.raising([candidate.completed for candidate in candidates])
            candidates = [c for c, raises in zip(candidates, raising, strict=True) if not raises] or candidates
        if self._verifier is None:
            return candidates
        return await asyncio.to_thread(self._with_faithfulness, question, candidates, self._verifier)

    @staticmethod
    def _with_faithfulness(question: str, candidates: list[Hypothesis], verifier: Verifier) -> list[Hypothesis]:
        return [replace(c, faithfulness=verifier.log(question, steps(c.text, finished=c.finished))) for c in candidates]
