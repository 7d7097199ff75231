"""The service, asked over HTTP: `raydistill serve` with a real engine and sandbox in it (`conftest.py`)."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from raydistill.actors.engine.requests import Request
from raydistill.actors.errors import SandboxError, UsageError
from raydistill.actors.executor import Executor, Program, Verdict
from raydistill.pipelines.config.sections import Execution, Questions
from raydistill.pipelines.inference.answering import Answered
from raydistill.pipelines.recipes.pad.config import PaD
from raydistill.pipelines.tasks import load_questions, task_for
from raydistill.serve.app import serve_students
from raydistill.serve.schema import SolveRequest
from raydistill.serve.solver import Solver, choose
from raydistill.serve.solving.vote import count_votes
from raydistill.serve.student import Student, find_student
from tests.serve.conftest import TEACHER_IS_THERE, Service
from tests.serve.saying import LocalExecutor, Saying


def test_health_names_model_and_confinement(service: Service, student: str) -> None:
    code, health = service.request("/healthz")
    assert code == 200
    assert health["status"] == "ok" and health["model"] == Path(student).name
    assert health["sandbox"] in ("A", "B", "B-")


def test_openai_client_chats_and_completes(client: Any, student: str) -> None:
    name = Path(student).name
    assert [model.id for model in client.models.list()] == [name]
    chat = {"model": name, "messages": [{"role": "user", "content": "What is 3 plus 3?"}], "max_tokens": 8}
    several = [client.chat.completions.create(**chat, n=3, temperature=1, seed=5) for _ in range(2)]
    texts = [[choice.message.content for choice in completion.choices] for completion in several]
    assert texts[0] == texts[1] and len(set(texts[0])) > 1
    (choice,) = client.chat.completions.create(**chat, temperature=0, logprobs=True, top_logprobs=2).choices
    assert len(choice.logprobs.content[0].top_logprobs) == 2
    chunks = [chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**chat, stream=True)]
    assert len(chunks) > 1
    assert client.completions.create(model=name, prompt="def", max_tokens=4).usage.completion_tokens == 4


def test_the_printed_command_works(service: Service) -> None:
    command = service.printed[service.printed.index("python -c") :].replace("python", sys.executable, 1)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.strip(), done.stderr


def test_openai_client_is_told_what_is_wrong(client: Any) -> None:
    from openai import BadRequestError, NotFoundError

    with pytest.raises(NotFoundError, match="nobody"):
        client.chat.completions.create(model="nobody", messages=[{"role": "user", "content": "hi"}])
    with pytest.raises(BadRequestError, match="temperature"):
        client.completions.create(model=client.models.list().data[0].id, prompt="hi", temperature=-1)


def test_solve_fails_honestly(service: Service) -> None:
    code, answer = service.request("/v1/solve", {"question": "What is 3 plus 3?", "max_tokens": 3, "n": 2})
    assert code == 200
    assert (answer["status"], answer["reason"], answer["answer"], answer["votes"]) == ("failed", "length", None, {})
    assert answer["completion_tokens"] == 6 and answer["completion"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "question: Field required"),
        (
            {"question": "q", "tokens": 3},
            "tokens: no setting of this student; expected one of beam, choices",
        ),
        ({"question": "q", "improve": True}, "improve: no setting of this student"),
        ({"question": "q", "n": 2, "temperature": 0}, "n > 1 needs a temperature above 0"),
        ({"question": "What? " * 2000}, "maximum context length"),
        (b"{", "body: JSON decode error"),
    ],
)
def test_solve_refuses_bad_bodies(service: Service, body: object, message: str) -> None:
    code, problem = service.request("/v1/solve", body)
    assert code == 422
    assert message in problem["error"]["message"] and "\n" not in problem["error"]["message"]


def test_the_page_of_the_routes_describes_them(service: Service) -> None:
    _, page = service.request("/openapi.json")
    assert {"/v1/solve", "/healthz", "/v1/chat/completions", "/v1/completions", "/v1/models"} <= set(page["paths"])
    assert "the answer that most" in page["components"]["schemas"]["SolveRequest"]["properties"]["n"]["description"]


@pytest.mark.skipif(not TEACHER_IS_THERE, reason="demo/models/teacher has no weights")
def test_solve_returns_executed_answers(service: Service) -> None:
    loaded = load_questions(Questions(task="reasoning_gym:gsm_symbolic", size=6, seed=987_654))
    right = 0
    for question in loaded.questions:
        code, answer = service.request("/v1/solve", {"question": question.text, "n": 3, "max_tokens": 400})
        assert code == 200
        if answer["status"] == "passed":
            assert "def solution" in answer["program"] and sum(answer["votes"].values()) <= 3
            right += loaded.task.grade(answer["answer"], question).status == "passed"
    assert right >= 3


# Without a service -----------------------------------------------------------------------------------------------


def attempt(vote: str | None, status: str = "passed") -> Answered:
    return Answered(status, "ok" if vote else "no_program", vote or "")


def test_most_votes_win_and_ties_go_to_the_first() -> None:
    attempts = [attempt("7"), attempt(None, "failed"), attempt("8"), attempt("8"), attempt("7"), attempt("9")]
    assert choose(attempts) is attempts[0]
    assert choose(attempts[1:]) is attempts[2]
    assert count_votes([attempt.value for attempt in attempts]) == {"7": 2, "8": 2, "9": 1}


def test_without_an_answer_unknown_comes_before_failed() -> None:
    failed, unknown = attempt(None, "failed"), attempt(None, "unknown")
    assert choose([failed, unknown]) is unknown
    assert choose([failed, failed]) is failed
    assert choose([unknown, attempt("1")]).value == "1"


def solve(student: Student, texts: Sequence[str], executors: Any) -> Any:
    def say(request: Request) -> Sequence[str]:
        assert "How many?" in request.prompt[-1]["content"]
        return texts

    return asyncio.run(Solver(student, Saying(say), executors).solve(SolveRequest(question="How many?", n=len(texts))))


def test_values_of_executed_programs_vote() -> None:
    executor = Executor()
    texts = [
        "def solution():\n    return 7",
        "No program.",
        "def solution():\n    print('half')\n    return 84 / 2",
        "def solution():\n    return 42",
        "def solution():\n    return x",
    ]
    try:
        answer = solve(Student("s", "m", "m"), texts, LocalExecutor(executor))
        failure = solve(Student("s", "m", "m"), texts[-1:], LocalExecutor(executor))
    finally:
        executor.close()
    assert (answer.status, answer.answer, answer.votes) == ("passed", "42", {"42": 2, "7": 1})
    assert answer.output == "half\n" and "84 / 2" in answer.program
    assert (failure.status, failure.reason, failure.answer) == ("failed", "exception:NameError", None)
    assert "name 'x' is not defined" in failure.message


def test_a_sandbox_in_trouble_is_no_answer() -> None:
    class Lost:
        async def call(self, method: str, programs: Sequence[Program]) -> list[Verdict]:
            return [Verdict(program.id, "unknown", "infra", message="zygote lost") for program in programs]

    with pytest.raises(SandboxError, match="zygote lost"):
        solve(Student("s", "m", "m"), ["def solution():\n    return 7"], Lost())


def test_programs_that_nobody_runs_are_no_answers() -> None:
    with pytest.raises(SandboxError, match="programs to run and no executors"):
        solve(Student("s", "m", "m"), ["def solution():\n    return 7"], None)


def test_a_student_of_rationales_states_its_answer() -> None:
    student = Student("s", "m", "m", recipe=PaD(target="rationale"), task=task_for("gsm8k"))
    texts = ["3 + 4 is 7. Therefore, the answer is 7.", "Therefore, the answer is $1,080.00.", "The answer is 1080."]
    answer = solve(student, texts, None)
    assert (answer.status, answer.answer, answer.program) == ("passed", "1080", None)
    assert answer.votes == {"1080": 2, "7": 1}


def test_the_student_of_a_run_is_asked_as_the_run_asked(tmp_path: Path) -> None:
    folder = tmp_path / "student"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    assert find_student(str(tmp_path)) == Student("student", str(folder), str(folder))
    noted = {"recipe": {"recipe": "pad", "target": "rationale"}, "questions": {"task": "gsm8k", "grader": "numeric"}}
    (folder / "raydistill.json").write_text(json.dumps(noted))
    found = find_student(str(tmp_path))
    assert (found.recipe.target, found.task, found.execution) == (
        "rationale",
        task_for("gsm8k", "numeric"),
        Execution(),
    )
    (folder / "raydistill.json").write_text(json.dumps(noted | {"execution": {"cpu_s": 7, "memory_mb": 64}}))
    assert find_student(str(tmp_path)).execution == Execution(cpu_s=7, memory_mb=64)


def test_an_adapter_is_served_over_its_base(tmp_path: Path, tiny_model: str) -> None:
    adapter = {"base_model_name_or_path": tiny_model, "r": 12, "revision": None}
    (tmp_path / "adapter_config.json").write_text(json.dumps(adapter))
    found = find_student(str(tmp_path))
    assert (found.model, found.tokenizer, found.adapter, found.adapter_rank) == (
        tiny_model,
        tiny_model,
        str(tmp_path),
        12,
    )


def test_what_is_no_student_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such directory; expected a run directory"):
        serve_students([str(tmp_path / "nowhere")])
    with pytest.raises(UsageError, match="neither config.json nor adapter_config.json"):
        serve_students([str(tmp_path)])
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "raydistill.json").write_text("{")
    with pytest.raises(UsageError, match="raydistill.json: not valid JSON"):
        serve_students([str(tmp_path)])


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError, match="cannot listen on 127"):
        serve_students([str(tmp_path)], port=taken.getsockname()[1])
