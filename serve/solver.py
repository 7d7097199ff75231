"""Solving one question: ask the student, run its programs, let it repair what fails, let their values vote.

    question --student_prompt--> n completions --extract--> programs --execute--> attempts --elect--> answer
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
from raydistill.pipelines.tasks.answers import canonical, parse_answer
from raydistill.pipelines.tasks.base import as_text
from raydistill.serve.improver import Conversation, Improver
from raydistill.serve.replies import Ask, Replies, Reply
from raydistill.serve.schema import SolveAnswer, SolveRequest, TurnShown
from raydistill.serve.student import Student

Execute = Callable[[Sequence[Program]], Awaitable[Sequence[Verdict]]]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One completion and what became of it. `vote` is the answer in canonical form, by which votes are counted."""

    reply: Reply
    status: str  # passed | failed | unknown
    reason: str
    answer: str | None = None
    vote: str | None = None
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

    A student that was trained to repair gets each of its programs that fails to run back, with the interpreter's
    last line, up to as many times as the request says, or else its recipe; every repair is run.
    """

    def __init__(self, student: Student, ask: Ask, execute: Execute | None) -> None:
        self._student, self._ask, self._execute = student, ask, execute
        self._recipe: Prompter = make_recipe(student.recipe)

    async def solve(self, request: SolveRequest) -> SolveAnswer:
        """The answer that most samples give. Raises SandboxError where none has one and some could not be run."""
        prompt = self._recipe.student_prompt(Question("", request.question, ""))
        improver = Improver(self._student.recipe, self._ask) if request.improve else None
        limit = self._limit(request)
        drawn = await self._ask(prompt.messages, request)
        if improver:
            conversations, repairs = await improver.improve(prompt.messages, drawn.replies, request)
            attempts = [self._said_last(conversation) for conversation in conversations]
        else:
            attempts, repairs = await self._repaired(await self._judge(drawn.replies), request, limit)
        elected = elect(attempts)
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

    def _said_last(self, conversation: Conversation) -> Attempt:
        """The answer of a conversation's last attempt."""
        last = self._read(Reply(conversation.text, "stop"), conversation.turns[-1].attempt)
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
        self, attempts: list[Attempt], request: SolveRequest, limit: int
    ) -> tuple[list[Attempt], list[Replies]]:
        """The attempts with repairs in the places of those that failed to run, and all replies that this took."""
        asked: list[Replies] = []
        one = request.model_copy(update={"n": 1, "temperature": request.effective_temperature})
        for number in range(1, limit + 1):
            broken = [place for place, attempt in enumerate(attempts) if attempt.repairable]
            if not broken:
                break
            drawn = await asyncio.gather(*(self._ask_repair(attempts[place], one) for place in broken))
            tried = await self._judge([replies.replies[0] for replies in drawn])
            asked += drawn
            for place, attempt in zip(broken, tried, strict=True):
                attempts[place] = replace(attempt, repairs=number)
        return attempts, asked

    async def _ask_repair(self, broken: Attempt, request: SolveRequest) -> Replies:
        said = feedback(broken.reason, broken.message)
        return await self._ask(repair_messages(request.question, broken.program or "", said), request)

    async def _judge(self, replies: Sequence[Reply]) -> list[Attempt]:
        outputs = [self._recipe.extract(reply.text) for reply in replies]
        if self._execute is None:
            return [self._read(reply, output) for reply, output in zip(replies, outputs, strict=True)]
        programs = [Program(str(i), output) for i, output in enumerate(outputs) if output is not None]
        verdicts = {verdict.id: verdict for verdict in await self._execute(programs)} if programs else {}
        return [
            _without_program(reply) if output is None else _executed(reply, output, verdicts[str(i)])
            for i, (reply, output) in enumerate(zip(replies, outputs, strict=True))
        ]

    def _read(self, reply: Reply, rationale: str | None) -> Attempt:
        """The answer that a rationale states."""
        answer = parse_answer(rationale, self._student.kind) if rationale else None
        if answer is None:
            return Attempt(reply, "failed", "no_answer")
        return Attempt(reply, "passed", "ok", answer, canonical(answer, self._student.kind))


def _without_program(reply: Reply) -> Attempt:
    return Attempt(reply, "failed", "length" if reply.finish_reason == "length" else "no_program")


def _executed(reply: Reply, program: str, verdict: Verdict) -> Attempt:
    value = verdict.value if verdict.status == "passed" else None
    return Attempt(
        reply,
        verdict.status,
        verdict.reason,
        answer=None if value is None else as_text(value),
        vote=None if value is None else canonical(value, "numeric"),
        program=program,
        output=verdict.stdout,
        message=verdict.message,
    )


def count_votes(attempts: Sequence[Attempt]) -> dict[str, int]:
    """How many attempts gave which answer, the most frequent first, ties in the order of the attempts."""
    return dict(Counter(attempt.vote for attempt in attempts if attempt.vote is not None).most_common())


def elect(attempts: Sequence[Attempt]) -> Attempt:
    """The majority's first attempt; where no attempt has an answer an unknown one, else the first."""
    votes = count_votes(attempts)
    if votes:
        winner = next(iter(votes))
        return next(attempt for attempt in attempts if attempt.vote == winner)
    return next((attempt for attempt in attempts if attempt.status == "unknown"), attempts[0])
