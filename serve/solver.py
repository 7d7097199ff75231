"""Solving one question: ask the student, run its programs, let it repair what fails, let their values vote.

    question --student_prompt--> n completions --extract--> programs --execute--> attempts --choose--> answer
                                      ^------ repair prompt (if trained for it) ----- failed

With `improve`, a student that was trained to (TriPosT) goes on from each completion by itself (`serve.improver`).

Nothing here knows of HTTP or Ray: the model and the sandbox are two functions that are handed in.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from raydistill.actors.errors import SandboxError, UsageError
from raydistill.actors.executor import Program, Verdict
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.recipes.pad.config import PaD
from raydistill.pipelines.recipes.pad.repair import NOT_REPAIRABLE, feedback, repair_messages, repairs_of
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.recipes.tripost.conversation import Turn
from raydistill.pipelines.sampling.prompter import Prompter
from raydistill.pipelines.tasks.base import choices_of, listed_choices
from raydistill.pipelines.tasks.families.table import with_options
from raydistill.pipelines.tasks.judging import Judge, elect, returned
from raydistill.serve.improver import Conversation, Improver
from raydistill.serve.replies import Ask, Replies, Reply
from raydistill.serve.schema import SolveAnswer, SolveRequest, TurnShown
from raydistill.serve.student import Student

Execute = Callable[[Sequence[Program]], Awaitable[Sequence[Verdict]]]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One completion and what became of it. `answer` is spelt alike for all that are the same, and so it votes."""

    reply: Reply
    status: str  # passed | failed | unknown
    reason: str
    answer: str | None = None
    program: str | None = None
    output: str = ""
    message: str = ""
    turns: tuple[Turn, ...] = ()  # with improve: the attempts that led to it
    ending: str | None = None
    repairs: int = 0  # how often its program was repaired before

    @property
    def repairable(self) -> bool:
        """Whether a program failed to run, so that there is feedback to repair it by."""
        return self.status == "failed" and self.program is not None and self.reason not in NOT_REPAIRABLE


class Solver:
    """Answers questions as the student's recipe asks and extracts; without `execute` answers are read, not run.

    What is read in an answer, and which one is taken, is decided as in an evaluation (`pipelines.tasks.judging`).

    A student that was trained to repair gets each of its programs that fails to run back, with the interpreter's
    last line, up to as many times as the request says, or else its recipe; every repair is run.
    """

    def __init__(self, student: Student, ask: Ask, execute: Execute | None) -> None:
        self._student, self._ask, self._execute = student, ask, execute
        self._recipe: Prompter = make_recipe(student.recipe)
        self._judge = Judge(student.task)

    async def solve(self, request: SolveRequest) -> SolveAnswer:
        """The answer that most samples give. Raises SandboxError where none has one and some could not be run."""
        question = to_question(request)
        prompt = self._recipe.student_prompt(question)
        improver = Improver(self._student.recipe, self._ask) if request.improve else None
        limit = self._limit(request)
        drawn = await self._ask(prompt.messages, request)
        if improver:
            conversations, repairs = await improver.improve(prompt.messages, drawn.replies, request)
            attempts = [self._said_last(conversation, question) for conversation in conversations]
        else:
            attempts = await self._attempts(drawn.replies, question)
            attempts, repairs = await self._repaired(attempts, question, request, limit)
        elected = choose(attempts)
        if elected.status == "unknown":
            raise SandboxError(f"the sandbox could not run the program: {elected.message or elected.reason}")
        return SolveAnswer(
            question=request.question,
            model=self._student.name,
            status="failed" if elected.answer is None else "passed",
            reason=elected.reason,
            answer=elected.answer,
            program=elected.program,
            output=elected.output,
            message=elected.message,
            completion=elected.reply.text,
            n=len(attempts),
            repairs=elected.repairs,
            votes=count_votes(attempts),
            prompt_tokens=sum(asked.prompt_tokens for asked in (drawn, *repairs)),
            completion_tokens=sum(asked.completion_tokens for asked in (drawn, *repairs)),
            trajectory=[TurnShown(attempt=t.attempt, feedback=t.feedback) for t in elected.turns] if improver else None,
            ending=elected.ending,
        )

    def _said_last(self, conversation: Conversation, question: Question) -> Attempt:
        """The answer of a conversation's last attempt."""
        last = self._read(Reply(conversation.text, "stop"), conversation.turns[-1].attempt, question)
        return replace(last, turns=conversation.turns, ending=conversation.ending)

    def _limit(self, request: SolveRequest) -> int:
        """How many repairs a program may get. Raises UsageError where the student has not learned to repair."""
        recipe = self._student.recipe
        if request.repairs is None:
            return repairs_of(recipe) if self._execute else 0
        if request.repairs and not (self._execute and isinstance(recipe, PaD) and recipe.refine):
            raise UsageError(
                "repairs: this student has not learned to repair programs; expected one of recipe pad with "
                "recipe.refine: ask without repairs"
            )
        return request.repairs

    async def _repaired(
        self, attempts: list[Attempt], question: Question, request: SolveRequest, limit: int
    ) -> tuple[list[Attempt], list[Replies]]:
        """The attempts with repairs in the places of those that failed to run, and all replies that this took."""
        asked: list[Replies] = []
        one = request.model_copy(update={"n": 1, "temperature": request.effective_temperature})
        for number in range(1, limit + 1):
            broken = [place for place, attempt in enumerate(attempts) if attempt.repairable]
            if not broken:
                break
            drawn = await asyncio.gather(*(self._ask_repair(attempts[place], question, one) for place in broken))
            tried = await self._attempts([replies.replies[0] for replies in drawn], question)
            asked += drawn
            for place, attempt in zip(broken, tried, strict=True):
                attempts[place] = replace(attempt, repairs=number)
        return attempts, asked

    async def _ask_repair(self, broken: Attempt, question: Question, request: SolveRequest) -> Replies:
        said = feedback(broken.reason, broken.message)
        return await self._ask(repair_messages(question.text, broken.program or "", said), request)

    async def _attempts(self, replies: Sequence[Reply], question: Question) -> list[Attempt]:
        """What became of each reply: its program's value or the answer that it states."""
        outputs = [self._recipe.extract(reply.text) for reply in replies]
        if self._execute is None:
            return [self._read(reply, output, question) for reply, output in zip(replies, outputs, strict=True)]
        programs = [Program(str(i), output) for i, output in enumerate(outputs) if output is not None]
        verdicts = {verdict.id: verdict for verdict in await self._execute(programs)} if programs else {}
        return [
            _without_program(reply) if output is None else self._executed(reply, output, verdicts[str(i)], question)
            for i, (reply, output) in enumerate(zip(replies, outputs, strict=True))
        ]

    def _read(self, reply: Reply, rationale: str | None, question: Question) -> Attempt:
        """The answer that a rationale states."""
        answer = self._judge.read(rationale, choices_of(question))
        return Attempt(reply, "failed", "no_answer") if answer is None else Attempt(reply, "passed", "ok", answer)

    def _executed(self, reply: Reply, program: str, verdict: Verdict, question: Question) -> Attempt:
        """The answer that a program's value is."""
        run = Attempt(
            reply, verdict.status, verdict.reason, None, program, output=verdict.stdout, message=verdict.message
        )
        if verdict.status != "passed":
            return run
        answer = self._judge.read(returned(verdict.value), choices_of(question))
        return replace(run, status="failed", reason="no_answer") if answer is None else replace(run, answer=answer)


def to_question(request: SolveRequest) -> Question:
    """The question as a task would load it: with its options, written into it unless it lists them already."""
    listed = listed_choices(request.question)
    choices = request.labelled_choices or listed
    text = request.question if choices.items() <= listed.items() else with_options(request.question, choices)
    question = Question("", text, "")
    return question.noting(choices=choices) if choices else question


def _without_program(reply: Reply) -> Attempt:
    return Attempt(reply, "failed", "length" if reply.finish_reason == "length" else "no_program")


def count_votes(attempts: Sequence[Attempt]) -> dict[str, int]:
    """How many attempts gave which answer, the most frequent first, ties in the order of the attempts."""
    return dict(Counter(attempt.answer for attempt in attempts if attempt.answer is not None).most_common())


def choose(attempts: Sequence[Attempt]) -> Attempt:
    """The first attempt with the elected answer; where no attempt has an answer an unknown one, else the first."""
    place = elect([attempt.answer for attempt in attempts])
    if place is not None:
        return attempts[place]
    return next((attempt for attempt in attempts if attempt.status == "unknown"), attempts[0])
