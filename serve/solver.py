"""Solving one question: ask the student, run its programs, let it repair what fails, let their values vote.

    question --student_prompt--> n completions --extract--> programs --execute--> attempts --choose--> answer
                                      ^------ repair prompt (if trained for it) ----- failed

With `improve`, a student that was trained to (TriPosT) goes on from each completion by itself (`serve.improver`).

Nothing here knows of HTTP or Ray: a completer and a function that runs programs are handed in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from raydistill.actors.engine.requests import Completion
from raydistill.actors.errors import SandboxError, UsageError
from raydistill.actors.executor import Program, Verdict
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.recipes.pad.config import PaD
from raydistill.pipelines.recipes.pad.repair import NOT_REPAIRABLE, feedback, repair_messages, repairs_of
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.recipes.tripost.conversation import Turn
from raydistill.pipelines.sampling.plan import Completer
from raydistill.pipelines.sampling.prompter import Prompt, Prompter
from raydistill.pipelines.tasks.base import choices_of, listed_choices
from raydistill.pipelines.tasks.families.table import with_options
from raydistill.pipelines.tasks.judging import Judge, elect, returned
from raydistill.serve.asking import completing, count_tokens, to_request
from raydistill.serve.improver import Conversation, Improver
from raydistill.serve.schema import SolveAnswer, SolveRequest, TurnShown
from raydistill.serve.student import Student

Execute = Callable[[Sequence[Program]], Awaitable[Sequence[Verdict]]]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A completion's text and what became of it. `answer` is spelt alike for all that are the same, and so it votes."""

    text: str
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

    def __init__(self, student: Student, model: Completer, execute: Execute | None) -> None:
        self._student, self._generate, self._execute = student, completing(model), execute
        self._recipe: Prompter = make_recipe(student.recipe)
        self._judge = Judge(student.task)

    async def solve(self, request: SolveRequest) -> SolveAnswer:
        """The answer that most samples give. Raises SandboxError where none has one and some could not be run."""
        question = to_question(request)
        prompt = self._recipe.student_prompt(question)
        improver = Improver(self._student.recipe, self._generate) if request.improve else None
        limit = self._limit(request)
        drawn = await self._generate([to_request("solve", prompt, request, range(request.n))])
        if improver:
            conversations, more = await improver.improve(prompt, drawn, request)
            attempts = [self._said_last(conversation, question) for conversation in conversations]
        else:
            attempts = await self._attempts(drawn, question)
            attempts, more = await self._repaired(attempts, question, request, limit)
        elected, (prompt_tokens, completion_tokens) = choose(attempts), count_tokens([*drawn, *more])
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
            completion=elected.text,
            n=len(attempts),
            repairs=elected.repairs,
            votes=count_votes(attempts),
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            trajectory=[TurnShown(attempt=t.attempt, feedback=t.feedback) for t in elected.turns] if improver else None,
            ending=elected.ending,
        )

    def _said_last(self, conversation: Conversation, question: Question) -> Attempt:
        """The answer of a conversation's last attempt."""
        last = self._read(conversation.text, conversation.turns[-1].attempt, question)
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
    ) -> tuple[list[Attempt], list[Completion]]:
        """The attempts with repairs in the places of those that failed to run, and all completions that this took."""
        asked: list[Completion] = []
        for number in range(1, limit + 1):
            broken = [place for place, attempt in enumerate(attempts) if attempt.repairable]
            if not broken:
                break
            prompts = [self._repair_prompt(attempts[place], question) for place in broken]
            drawn = await self._generate(
                [
                    to_request(f"repair-{number}/{place}", prompt, request, [place])
                    for place, prompt in zip(broken, prompts, strict=True)
                ]
            )
            asked += drawn
            for place, attempt in zip(broken, await self._attempts(drawn, question), strict=True):
                attempts[place] = replace(attempt, repairs=number)
        return attempts, asked

    def _repair_prompt(self, broken: Attempt, question: Question) -> Prompt:
        said = feedback(broken.reason, broken.message)
        return Prompt("repair", repair_messages(question.text, broken.program or "", said))

    async def _attempts(self, drawn: Sequence[Completion], question: Question) -> list[Attempt]:
        """What became of each completion: its program's value or the answer that it states."""
        outputs = [self._recipe.extract(completion.text) for completion in drawn]
        if self._execute is None:
            return [self._read(c.text, output, question) for c, output in zip(drawn, outputs, strict=True)]
        programs = [Program(str(i), output) for i, output in enumerate(outputs) if output is not None]
        verdicts = {verdict.id: verdict for verdict in await self._execute(programs)} if programs else {}
        return [
            _without_program(c) if output is None else self._executed(c.text, output, verdicts[str(i)], question)
            for i, (c, output) in enumerate(zip(drawn, outputs, strict=True))
        ]

    def _read(self, text: str, rationale: str | None, question: Question) -> Attempt:
        """The answer that a rationale states."""
        answer = self._judge.read(rationale, choices_of(question))
        return Attempt(text, "failed", "no_answer") if answer is None else Attempt(text, "passed", "ok", answer)

    def _executed(self, text: str, program: str, verdict: Verdict, question: Question) -> Attempt:
        """The answer that a program's value is."""
        run = Attempt(
            text, verdict.status, verdict.reason, None, program, output=verdict.stdout, message=verdict.message
        )
        if verdict.status != "passed":
            return run
        answer = self._judge.read(returned(verdict.value), choices_of(question))
        return replace(run, status="failed", reason="no_answer") if answer is None else replace(run, answer=answer)


def _without_program(completion: Completion) -> Attempt:
    return Attempt(completion.text, "failed", "length" if completion.finish_reason == "length" else "no_program")


def to_question(request: SolveRequest) -> Question:
    """The question as a task would load it: with its options, written into it unless it lists them already."""
    listed = listed_choices(request.question)
    choices = request.labelled_choices or listed
    text = request.question if choices.items() <= listed.items() else with_options(request.question, choices)
    question = Question("", text, "")
    return question.noting(choices=choices) if choices else question


def count_votes(attempts: Sequence[Attempt]) -> dict[str, int]:
    """How many attempts gave which answer, the most frequent first, ties in the order of the attempts."""
    return dict(Counter(attempt.answer for attempt in attempts if attempt.answer is not None).most_common())


def choose(attempts: Sequence[Attempt]) -> Attempt:
    """The first attempt with the elected answer; where no attempt has an answer an unknown one, else the first."""
    place = elect([attempt.answer for attempt in attempts])
    if place is not None:
        return attempts[place]
    return next((attempt for attempt in attempts if attempt.status == "unknown"), attempts[0])
