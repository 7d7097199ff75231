"""Solving one question: the student answers as its recipe has it answer in an evaluation, and its answers vote.

    question --answerer--> n completions [repairs, updates, ...] --verdicts--> answers --elect--> the answer

Nothing here knows of HTTP or Ray: the student and the sandbox are two `Completer`s that are handed in.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raydistill.actors.engine.requests import Completion, Request, Sampling
from raydistill.actors.errors import EngineError, SandboxError, UsageError
from raydistill.pipelines.data.records import Question, Sample
from raydistill.pipelines.inference.answering import Answered, Answerer, AnswersOnce, converse
from raydistill.pipelines.inference.beam import BeamSearch, TokenDecoder
from raydistill.pipelines.inference.faithfulness import Faithfulness
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.sampling.plan import Completer
from raydistill.pipelines.sampling.prompter import Prompter
from raydistill.pipelines.sampling.samples import completion_row, to_sample
from raydistill.pipelines.sampling.verdicts import judge
from raydistill.pipelines.tasks.base import Grade, ReadableTask, choices_of, listed_choices
from raydistill.pipelines.tasks.families.table import with_options
from raydistill.pipelines.tasks.judging import elect
from raydistill.serve.schema import SolveAnswer, SolveRequest
from raydistill.serve.student import Student


class Solver:
    """Answers questions; what is asked, run, read and counted is decided as in an evaluation."""

    def __init__(self, student: Student, model: Completer, executors: Completer | None) -> None:
        self._student, self._model, self._executors = student, model, executors
        self._recipe = make_recipe(student.recipe)

    async def solve(self, request: SolveRequest) -> SolveAnswer:
        """The answer that most samples give. Raises SandboxError where none has one and some could not be run."""
        asking = Asking(request, self._student.task, self._completer(request), self._executors)
        answers = await asking.answers(self._answerer(request), to_question(request))
        elected = choose(answers)
        last = elected.trail[-1]
        if elected.status == "unknown":
            raise SandboxError(f"the sandbox could not run the program: {last.detail or elected.reason}")
        told: dict[str, Any] = {
            "question": request.question,
            "model": self._student.name,
            "status": "passed" if elected.value else "failed",
            "reason": elected.reason,
            "answer": elected.value or None,
            "program": (last.output or None) if last.format == "program" else None,
            "output": last.stdout,
            "message": last.detail,
            "completion": last.text,
            "n": len(answers),
            "votes": count_votes(answers),
            **count_tokens([sample for answer in answers for sample in answer.trail]),
        }
        return SolveAnswer(**told | dict(elected.shown))

    def _answerer(self, request: SolveRequest) -> Answerer:
        """As the request has the student answer; the best hypothesis of a beam is its answer, as in an evaluation."""
        if request.beam:
            return AnswersOnce(self._recipe.student)
        names = self._recipe.options.model_fields
        return self._recipe.answerer(self._recipe.options(**{name: getattr(request, name) for name in names}))

    def _completer(self, request: SolveRequest) -> Completer:
        """The student's engines, or a beam search around them. Raises UsageError for programs that none runs."""
        if request.beam is None:
            return self._model
        if request.beam.execution and self._executors is None:
            raise UsageError("beam.execution: this student writes no programs; expected a beam without execution")
        decoder = TokenDecoder(self._student.tokenizer, None)
        verifier = Faithfulness(request.beam.encoder) if request.beam.faithfulness else None
        return BeamSearch(
            request.beam, self._model, decoder, verifier, self._executors if request.beam.execution else None
        )


@dataclass(frozen=True, slots=True)
class Asking:
    """What one request asks of student and sandbox."""

    request: SolveRequest
    task: ReadableTask  # by whose rule answers are read
    model: Completer
    executors: Completer | None

    async def answers(self, answerer: Answerer, question: Question) -> list[Answered]:
        """All answers to the question: of each prompt's samples in order."""

        async def ask_again(task: Question) -> Sample:
            (sample,) = await self._samples(answerer.follow_ups, task, 1)
            return sample

        firsts = await self._samples(answerer.prompter, question, self.request.n)
        conversations = (
            converse(answerer, question, first, ask_again, lambda text: self._grade(text, question)) for first in firsts
        )
        return list(await asyncio.gather(*conversations))

    async def _samples(self, prompter: Prompter, question: Question, n: int) -> list[Sample]:
        """`n` judged samples of each prompt. Raises EngineError where the student cannot be asked."""
        asked = self.request
        sampling = Sampling(temperature=asked.effective_temperature, max_tokens=asked.max_tokens)
        prompts = {prompt.context: prompt for prompt in prompter.prompts(question)}
        requests = [
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
        completions: Sequence[Completion] = await self.model.call("generate", requests)
        if failed := next((completion for completion in completions if completion.error), None):
            raise EngineError(f"the student could not answer: {failed.error}")
        contexts = [completion.request_id.partition("/")[2] for completion in completions]
        rows = [
            completion_row(question, completion, prompts[context])
            for completion, context in zip(completions, contexts, strict=True)
        ]
        verdicts = await judge([(question, row) for row in rows], prompter, self._grade, self.executors)
        return [to_sample(row, verdict) for row, verdict in zip(rows, verdicts, strict=True)]

    def _grade(self, value: Any, question: Question) -> Grade:
        """What answer `value` is: whether it is right nobody knows."""
        answer = self.task.read(value, choices_of(question))
        return Grade("passed", "ok", answer) if answer else Grade("failed", "no_answer", "")


def to_question(request: SolveRequest) -> Question:
    """The question as a task would load it: with its options, written into it unless it lists them already."""
    listed = listed_choices(request.question)
    choices = request.labelled_choices or listed
    text = request.question if choices.items() <= listed.items() else with_options(request.question, choices)
    question = Question("", text, "")
    return question.noting(choices=choices) if choices else question


def count_votes(answers: Sequence[Answered]) -> dict[str, int]:
    """How many answers are which, the most frequent first, ties in their order."""
    return dict(Counter(answer.value for answer in answers if answer.value).most_common())


def count_tokens(samples: Sequence[Sample]) -> dict[str, int]:
    """Tokens of the prompts, each prompt's once however many samples it has, and of all completions."""
    prompts = {sample.id.rpartition("/")[0]: sample.prompt_tokens for sample in samples}
    written = sum(sample.completion_tokens for sample in samples)
    return {"prompt_tokens": sum(prompts.values()), "completion_tokens": written}


def choose(answers: Sequence[Answered]) -> Answered:
    """The first of the elected answer; where there is none an unknown one, else the first."""
    place = elect([answer.value for answer in answers])
    if place is not None:
        return answers[place]
    return next((answer for answer in answers if answer.status == "unknown"), answers[0])
