"""Self-refinement: faults that fail as intended when run, the second task's examples, and repairs at inference."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from raydistill.actors.engine.requests import Completion, Request
from raydistill.actors.executor import Executor, Program
from raydistill.pipelines.config.sections import EngineConfig, SamplingConfig
from raydistill.pipelines.context import ExampleSet, RunContext
from raydistill.pipelines.data.examples import read_examples
from raydistill.pipelines.data.records import Question, Sample
from raydistill.pipelines.inference.answering import answer_questions
from raydistill.pipelines.recipes.pad.config import PaD, Refine
from raydistill.pipelines.recipes.pad.faults import FAULTS, inject
from raydistill.pipelines.recipes.pad.recipe import ProgramAidedDistillation
from raydistill.pipelines.recipes.pad.repair import OwnFailures, feedback
from raydistill.pipelines.recipes.pad.repairing import RepairsFailures
from raydistill.pipelines.recipes.pad.self_refine import add_repairs
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.tasks import load_questions
from raydistill.serve.schema import request_model
from raydistill.serve.solver import Solver
from raydistill.serve.student import Student
from tests.serve.saying import LocalExecutor, Saying

PROGRAMS = (
    '''def solution():
    """Wie viele Eier sind übrig?"""
    eggs = 16  # größer als 9
    eaten = 3 + 4
    sold = eggs - eaten
    return sold * 2''',
    """def total(a, b):
    both = a * b
    return both

def solution():
    return total(3, 4) - 1""",
    """def solution():
    prices = [3, 4, 5]
    cost = 0
    for price in prices:
        cost += price
    cost = cost + prices[0]
    return cost""",
)


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    made = Executor()
    yield made
    made.close()


def interpreter_says(program: str) -> str:
    """The last line that this process's own interpreter has for a program and its call."""
    namespace: dict[str, Any] = {}
    try:
        exec(compile(program, "<program>", "exec"), namespace)
        namespace["solution"]()
    except SyntaxError as error:
        return f"{type(error).__name__}: {error.msg} (line {error.lineno})"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_raises_what_it_is_meant_to_and_feedback_is_the_interpreters_own(
    kind: str, executor: Executor
) -> None:
    broken = {text for program in PROGRAMS for seed in range(6) if (text := inject(kind, program, seed))}
    assert len(broken) >= 3 and not broken & set(PROGRAMS)
    programs = [Program(str(number), text) for number, text in enumerate(sorted(broken))]
    for program, verdict in zip(programs, executor.run(programs), strict=True):
        assert verdict.reason == FAULTS[kind].reason, program.source
        assert feedback(verdict.reason, verdict.message) == verdict.message == interpreter_says(program.source)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_fault_is_one_edit_at_one_place(program: str) -> None:
    for kind in ("undefined_name", "wrong_type", "index_out_of_range"):
        broken = inject(kind, program, 1)
        assert broken is not None
        lines = list(zip(program.splitlines(), broken.splitlines(), strict=True))
        assert sum(before != after for before, after in lines) == 1
    assert inject("syntax", program, 1) == inject("syntax", program, 1)


def test_a_program_without_a_place_for_a_fault_is_told_apart() -> None:
    assert inject("undefined_name", "def solution():\n    return 3 * 4", 0) is None


def test_feedback_tells_a_wrong_value_and_never_the_right_one() -> None:
    question = Question("q", "How many?", "4711").noting(program="def solution():\n    return 4711")
    outputs = [("17", "wrong_answer", ""), ("", "exception:NameError", "NameError: name 'x' is not defined")]
    samples = [
        Sample(
            *(f"q/program/{i}", "q", i, "", f"def solution():\n    return {i}", "failed", reason, value),
            *(10, 10, "stop", i),
            detail=message,
        )
        for i, (value, reason, message) in enumerate(outputs)
    ]
    selection = OwnFailures(2).select(question, samples)
    asked = [example.messages[0]["content"] for example in selection.examples]
    assert asked[0].endswith("Feedback: The program returned 17, which is wrong.")
    assert asked[1].endswith("Feedback: NameError: name 'x' is not defined")
    assert not any("4711" in text for text in asked)
    assert {example.text for example in selection.examples} == {"```python\ndef solution():\n    return 4711\n```"}


class ScriptedStudent:
    """Stands for an engine: attempts some questions wrongly, and repairs what is undefined but not what is broken."""

    async def call(self, method: str, *arguments: Any) -> list[Completion]:
        (requests,) = arguments
        return [self._answer(request, index) for request in requests for index in request.indices]

    def _answer(self, request: Request, index: int) -> Completion:
        text = reply(str(request.prompt[-1]["content"]))  # type: ignore[index]
        return Completion(request.id, index, text, "", "stop", 5, 7, request.seed + index, "scripted")


def reply(asked: str) -> str:
    number = int(asked.split("What is ")[1].split()[0])
    if "Feedback:" in asked:
        return f"def solution():\n    return {number} + {number}" if "NameError" in asked else "def solution(:"
    return (
        f"def solution():\n    return {number} + {number}",
        f"def solution():\n    return {number} + missing",
        f"def solution():\n    return {number}",
        "def solution(:",
    )[number % 4]


class ScriptedContext(RunContext):
    """Asks a scripted student instead of an engine; Ray, sandbox and files are real."""

    def run(self, title: str, job: Any, questions: Sequence[Question], model: Any, **options: Any) -> Any:
        stands = ScriptedStudent() if isinstance(model, EngineConfig) else model
        return super().run(title, job, questions, stands, **options)


@pytest.fixture
def workplace(tmp_path: Path, questions_file: Path) -> Iterator[RunContext]:
    config = Run.model_validate(
        {
            "run_dir": str(tmp_path / "run"),
            "questions": {"task": "table", "path": str(questions_file)},
            "teacher": {"model": "some/model"},
            "recipe": {"refine": {"own_samples": 1, "faults_per_program": 5}},
        }
    )
    made = ScriptedContext(config, None)
    made.questions = load_questions(config.questions)
    yield made
    made.close()


def write_verified(workplace: RunContext) -> ExampleSet:
    """One verified program per question as PaD's examples."""
    recipe, examples = ProgramAidedDistillation(PaD()), []
    for question in workplace.questions.questions:
        half = int(question.answer) // 2
        program = f"def solution():\n    one = {half}\n    two = one + {half}\n    return two"
        sample = Sample(f"{question.id}/p/0", question.id, 0, "", program, "passed", "ok", question.answer, 1, 1, "", 0)
        examples += recipe.selector.select(question, [sample]).examples
    return workplace.write_examples(examples)


def test_repairs_of_faults_and_of_own_failures_join_the_training_set(cluster: None, workplace: RunContext) -> None:
    verified, config = write_verified(workplace), workplace.config.recipe.refine
    asked = ProgramAidedDistillation(PaD()).student
    made = add_repairs(workplace, config, verified, workplace.teacher, asked)
    summary, examples = workplace.sections["refinement"], list(read_examples(made.folder))
    repairs = [example for example in examples if example.meta.get("task") == "repair"]
    ids = {example.id for example in read_examples(verified.folder)}
    assert {example.id for example in examples} >= ids and len(examples) == len(repairs) + 12 == made.count
    assert summary["repairs"] == {**dict.fromkeys(FAULTS, 12), "own": 9}
    for example in repairs:
        assert "Feedback: " in example.messages[0]["content"] and example.question_id == example.group
        assert example.text.startswith("```python\ndef solution():\n    one = ")
        said = example.messages[0]["content"].rpartition("Feedback: ")[2].partition(":")[0]
        kind = example.meta["fault"]
        assert kind in ("own", "syntax") or FAULTS[kind].reason == f"exception:{said}"

    again = add_repairs(workplace, config, verified, workplace.teacher, asked)
    assert again.known and again.folder == made.folder
    assert json.loads(json.dumps(summary)) == workplace.sections["refinement"]


def test_programs_that_fail_to_run_are_repaired_and_run_again(cluster: None, workplace: RunContext) -> None:
    answerer, sampling = RepairsFailures(ProgramAidedDistillation(PaD()).student, 2), SamplingConfig(temperature=0)
    loaded = workplace.questions
    answers = answer_questions(workplace, "answering", workplace.teacher, answerer, loaded, sampling).by_question
    statuses = {}
    for question in loaded.questions:
        [answer] = answers[question.id]
        statuses[int(question.text.split()[2])] = (answer.trail[0].status, answer.status)
    expected = (("passed", "passed"), ("failed", "passed"), ("failed", "failed"), ("failed", "failed"))
    assert statuses == {number: expected[number % 4] for number in range(12)}


def test_the_service_repairs_what_fails_to_run(executor: Executor) -> None:
    def say(request: Request) -> Sequence[str]:
        return [reply(request.prompt[-1]["content"])] * len(request.indices)  # type: ignore[index]

    def solve(number: int, refine: Refine | None) -> Any:
        student, asked = Student("student", "", "", recipe=PaD(refine=refine)), f"What is {number} plus {number}?"
        request = request_model(make_recipe(student.recipe).options)(question=asked)
        return asyncio.run(Solver(student, Saying(say), LocalExecutor(executor)).solve(request))

    assert solve(5, None).status == "failed"
    repaired = solve(5, Refine(repairs=1))
    assert (repaired.status, repaired.answer) == ("passed", "10")
    assert (repaired.prompt_tokens, repaired.completion_tokens) == (10, 14)
    hopeless = solve(3, Refine(repairs=2))
    assert (hopeless.status, hopeless.reason, hopeless.completion_tokens) == ("failed", "syntax", 21)
    assert solve(4, Refine(repairs=2)).completion_tokens == 7
