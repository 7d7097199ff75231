"""What one question is asked: each sample on its own way, written, run, repaired; until the vote is decided.

student --completion--> program --executors--> verdict [--follow-up--> student ...] --> answer --> vote
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from raydistill.actors.engine.requests import Completion, Request, Sampling
from raydistill.actors.errors import EngineError
from raydistill.actors.executor import Program
from raydistill.pipelines.data.records import Question, Sample
from raydistill.pipelines.inference.answering import Answered, Answerer, converse
from raydistill.pipelines.sampling.plan import Completer
from raydistill.pipelines.sampling.prompter import Prompt, Prompter
from raydistill.pipelines.sampling.samples import completion_row, to_sample
from raydistill.pipelines.sampling.verdicts import judge
from raydistill.pipelines.tasks.base import ReadableTask
from raydistill.pipelines.tasks.unjudged import ReadsAnswers
from raydistill.serve.records.record import current
from raydistill.serve.schema import SolveRequest
from raydistill.serve.solving.events import Completed, Repairing, Tell, Voted, judged, nobody
from raydistill.serve.solving.vote import count_votes, is_decided


@dataclass(slots=True)
class Spent:
    """What a question has cost so far."""

    prompts: dict[str, int] = field(default_factory=dict)  # tokens of each, once however many samples it has
    completion_tokens: int = 0
    execution_s: float = 0.0

    @property
    def prompt_tokens(self) -> int:
        return sum(self.prompts.values())


@dataclass(frozen=True, slots=True)
class Asking:
    """What one request asks of student and sandbox."""

    request: SolveRequest
    task: ReadableTask  # by whose rule answers are read
    model: Completer
    executors: Completer | None
    spent: Spent = field(default_factory=Spent)
    tell: Tell = nobody

    async def answers(self, answerer: Answerer, question: Question) -> list[Answered | None]:
        """The answers of each prompt's samples in order; None for those that were not waited for.

        They could have changed neither the answer nor the sample that gives it. Raises EngineError where the student
        cannot be asked.
        """
        prompts = {prompt.context: prompt for prompt in answerer.prompter.prompts(question)}
        places = {place: number for number, place in enumerate(product(prompts, range(self.request.n)))}
        answers: list[Answered | None] = [None] * len(places)
        ended = asyncio.Queue[list[tuple[int, Answered]]]()

        async def follow(completions: Sequence[Completion]) -> None:
            """Bring these to their ends."""
            of = [places[completion.request_id.partition("/")[2], completion.index] for completion in completions]
            firsts = await self._judged(answerer.prompter, question, prompts, completions, of)
            ways = [self._converse(answerer, question, *first) for first in zip(of, firsts, strict=True)]
            ended.put_nowait(list(zip(of, await asyncio.gather(*ways), strict=True)))

        async def write() -> None:
            try:
                async with asyncio.TaskGroup() as group:
                    for request in self._requests(question, prompts, self.request.n):
                        group.create_task(send(request, group))
            except BaseExceptionGroup as errors:
                raise errors.exceptions[0] from None

        async def send(request: Request, group: asyncio.TaskGroup) -> None:
            async for completions in self._completions(request):
                group.create_task(follow(completions))

        async def count() -> None:
            while not is_decided(_values(answers)):
                for place, answered in await ended.get():
                    answers[place] = answered
                self.tell(_voted(answers))

        await _reach(count(), write())
        return answers

    async def _converse(self, answerer: Answerer, question: Question, place: int, first: Sample) -> Answered:
        turn = 0

        async def ask_again(task: Question) -> Sample:
            nonlocal turn
            turn += 1
            self.tell(Repairing(sample=place, turn=turn))
            prompts = {prompt.context: prompt for prompt in answerer.follow_ups.prompts(task)}
            [request] = self._requests(task, prompts, 1)
            [completions] = [batch async for batch in self._completions(request)]
            [sample] = await self._judged(answerer.follow_ups, task, prompts, completions, [place], turn)
            return sample

        return await converse(
            answerer, question, first, ask_again, lambda text: ReadsAnswers(self.task).grade(text, question)
        )

    def _requests(self, question: Question, prompts: Mapping[str, Prompt], n: int) -> list[Request]:
        asked = self.request
        sampling = Sampling(temperature=asked.effective_temperature, max_tokens=asked.max_tokens)
        return [
            Request(
                id=f"{question.id}/{context}",
                prompt=prompt.messages,
                sampling=sampling,
                indices=tuple(range(n)),
                seed=asked.seed,
                prefix=prompt.prefix,
                key=question.text,
            )
            for context, prompt in prompts.items()
        ]

    async def _completions(self, request: Request) -> AsyncIterator[Sequence[Completion]]:
        """As they end, where the student tells; else all at once. Raises EngineError where it could not answer."""
        told = getattr(self.model, "stream", None) if len(request.indices) > 1 else None
        async for completions in told(request) if told else _at_once(self.model, request):
            if failed := next((completion for completion in completions if completion.error), None):
                raise EngineError(f"the student could not answer: {failed.error}")
            for completion in completions:
                self.spent.prompts[completion.request_id] = completion.prompt_tokens
                self.spent.completion_tokens += completion.completion_tokens
            current().mark("first")
            current().mark("generated")
            yield completions

    async def _judged(
        self,
        prompter: Prompter,
        question: Question,
        prompts: Mapping[str, Prompt],
        completions: Sequence[Completion],
        places: Sequence[int],
        turn: int = 0,
    ) -> list[Sample]:
        """The completions with their verdicts; `places` and `turn` are what is told of them."""
        contexts = [completion.request_id.partition("/")[2] for completion in completions]
        rows = [
            completion_row(question, completion, prompts[context])
            for completion, context in zip(completions, contexts, strict=True)
        ]
        for place, row in zip(places, rows, strict=True):
            told = {name: row[name] for name in ("finish_reason", "completion_tokens")}
            self.tell(Completed(sample=place, turn=turn, completion=row["text"], **told))
        asked, grade = [(question, row) for row in rows], ReadsAnswers(self.task).grade
        verdicts = await judge(asked, prompter, grade, self.executors)
        self.spent.execution_s += sum(verdict.get("wall_s") or 0.0 for verdict in verdicts)
        current().mark("judged")
        current().verdicts.update(verdict["reason"] for verdict in verdicts)
        samples = [to_sample(row, verdict) for row, verdict in zip(rows, verdicts, strict=True)]
        for place, sample in zip(places, samples, strict=True):
            self.tell(judged(place, turn, sample))
        return samples


class OneParty:
    """Executors in which all programs of a question take turns with those of others as one call would."""

    def __init__(self, executors: Completer) -> None:
        self._executors, self._party = executors, uuid.uuid4().hex

    async def call(self, method: str, programs: Sequence[Program]) -> Any:
        return await self._executors.call(method, [replace(program, party=self._party) for program in programs])


async def _at_once(model: Completer, request: Request) -> AsyncIterator[Sequence[Completion]]:
    yield await model.call("generate", [request])


async def _reach(goal: Coroutine[Any, Any, None], work: Coroutine[Any, Any, None]) -> None:
    """Wait until `work` has led to `goal`, and cancel what is left of it then. Raises what `work` raises."""
    reached, working = asyncio.ensure_future(goal), asyncio.ensure_future(work)
    try:
        await asyncio.wait([reached, working], return_when=asyncio.FIRST_COMPLETED)
        if not reached.done():
            working.result()
            await reached
    finally:
        reached.cancel()
        working.cancel()
        await asyncio.gather(reached, working, return_exceptions=True)


def _values(answers: Sequence[Answered | None]) -> list[str | None]:
    return [None if answer is None else answer.value for answer in answers]


def _voted(answers: Sequence[Answered | None]) -> Voted:
    values = _values(answers)
    return Voted(votes=count_votes(values), ended=len(values) - values.count(None), samples=len(values))
