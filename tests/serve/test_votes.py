"""Votes over HTTP are those that an evaluation counts: the same completions, run in the same sandbox, by both."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from raydistill.actors.engine.requests import Request, Sampling
from raydistill.actors.executor import Executor
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.recipes.pad.config import PaD
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.sampling import stored_rows
from raydistill.pipelines.tasks import load_questions, task_for
from raydistill.pipelines.tasks.judging import elect
from raydistill.serve.model import Model
from raydistill.serve.schema import VOTING_TEMPERATURE
from raydistill.serve.student import Student
from tests.serve.conftest import TEACHER_IS_THERE, Service
from tests.serve.saying import LocalExecutor
from tests.serve.test_model import RouteHandle
from tests.serve.test_one_judge import evaluated

SAMPLES, TOKENS, SEED = 5, 120, 11


@pytest.fixture(scope="module")
def sandbox() -> Iterator[LocalExecutor]:
    executor = Executor()
    yield LocalExecutor(executor)
    executor.close()


def test_votes_are_those_of_an_evaluation(
    service: Service, student: str, sandbox: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_rows, "started_again", lambda: False)
    model = Model(Student(Path(student).name, student, student), RouteHandle(service, student))
    sampling = Sampling(temperature=VOTING_TEMPERATURE, max_tokens=TOKENS)
    task, counted = task_for("table", "text"), 0
    for loaded in load_questions(Questions(task="reasoning_gym:gsm_symbolic", size=4, seed=987_654)).questions:
        [prompt] = make_recipe(PaD()).student.prompts(Question("", loaded.text, ""))
        request = Request("q", prompt.messages, sampling, tuple(range(SAMPLES)), seed=SEED, prefix=prompt.prefix)
        texts = [completion.text for completion in asyncio.run(model.call("generate", [request]))]
        question = Question.make("t", loaded.text, loaded.answer)
        _, values = evaluated(tmp_path, task, PaD(), question, texts, sandbox)

        asked = {"question": loaded.text, "n": SAMPLES, "max_tokens": TOKENS, "seed": SEED}
        code, answer = service.request("/v1/solve", asked)
        assert code == 200 and Counter(answer["votes"]) <= Counter(filter(None, values))  # until it is decided
        place = elect(values)
        assert answer["answer"] == (None if place is None else values[place])
        assert answer["completion"] == texts[place or 0]
        counted += sum(answer["votes"].values())
    assert counted or not TEACHER_IS_THERE
