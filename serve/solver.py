"""Solving one question: the student answers as its recipe has it answer in an evaluation, and its answers vote.

    question --answerer--> n completions [repairs, updates, ...] --verdicts--> answers --elect--> the answer

Nothing here knows of HTTP or Ray: the student and the sandbox are two `Completer`s that are handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raydistill.actors.errors import SandboxError, UsageError
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.inference.answering import Answered, Answerer, AnswersOnce
from raydistill.pipelines.inference.beam import BeamSearch, TokenDecoder
from raydistill.pipelines.inference.faithfulness import Faithfulness
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.sampling.plan import Completer
from raydistill.pipelines.tasks.base import listed_choices
from raydistill.pipelines.tasks.families.table import with_options
from raydistill.pipelines.tasks.judging import elect
from raydistill.serve.schema import SolveAnswer, SolveRequest
from raydistill.serve.solving.asking import Asking, OneParty, Spent
from raydistill.serve.solving.events import Tell, nobody
from raydistill.serve.solving.vote import count_votes
from raydistill.serve.student import Student


class Solver:
    """Answers questions; what is asked, run, read and counted is decided as in an evaluation."""

    def __init__(self, student: Student, model: Completer, executors: Completer | None) -> None:
        self._student, self._model, self._executors = student, model, executors
        self._recipe = make_recipe(student.recipe)

    async def solve(self, request: SolveRequest, spent: Spent | None = None, tell: Tell = nobody) -> SolveAnswer:
        """The answer that most samples give; `spent` notes what it costs, `tell` is told what happens meanwhile.

        Raises SandboxError where no sample has an answer and some could not be run.
        """
        spent = spent or Spent()
        executors = OneParty(self._executors) if self._executors else None
        asking = Asking(request, self._student.task, self._completer(request), executors, spent, tell)
        drawn = await asking.answers(self._answerer(request), to_question(request))
        answers = [answer for answer in drawn if answer]
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
            "n": len(drawn),
            "votes": count_votes([answer.value for answer in answers]),
            "prompt_tokens": spent.prompt_tokens,
            "completion_tokens": spent.completion_tokens,
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


def to_question(request: SolveRequest) -> Question:
    """The question as a task would load it: with its options, written into it unless it lists them already."""
    listed = listed_choices(request.question)
    choices = request.labelled_choices or listed
    text = request.question if choices.items() <= listed.items() else with_options(request.question, choices)
    question = Question("", text, "")
    return question.noting(choices=choices) if choices else question


def choose(answers: Sequence[Answered]) -> Answered:
    """The first of the elected answer; where there is none an unknown one, else the first."""
    place = elect([answer.value for answer in answers])
    if place is not None:
        return answers[place]
    return next((answer for answer in answers if answer.status == "unknown"), answers[0])
