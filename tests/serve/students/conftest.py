"""One service, three students: two adapters of one base, which share an engine, and one of weights of its own.

No request gets another student's answer: greedy tokens of each are those that PEFT and transformers write.
"""

from __future__ import annotations

import http.client
import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from raydistill.serve.student import find_student
from tests.serve.conftest import Service, free_port
from tests.tiny import write_adapter

CHAT, TEXT, SOLVE, ADMIN = "/v1/chat/completions", "/v1/completions", "/v1/solve", "/admin/students"
KEY = "an-admin-key-of-a-test"
CLIENTS, TOKENS, DEADLINE_S = 16, 12, 30
ASKED = [f"What is {i} plus {i}?" for i in range(5)]
NOTED = {
    "first": {"recipe": "pad"},
    "second": {"recipe": "pad", "target": "rationale"},
    "late": {"recipe": "pad", "target": "rationale"},
}


def write_run(folder: Path, base: str, seed: int, rank: int, name: str = "late", **noted: Any) -> str:
    """A run whose student is an adapter of random weights."""
    write_adapter(base, folder / "student", seed=seed, rank=rank)
    said = {"recipe": NOTED[name], "questions": {"task": "gsm8k"}} | noted
    (folder / "student" / "raydistill.json").write_text(json.dumps(said))
    return str(folder)


@pytest.fixture(scope="package")
def paths(tiny_model: str, other_weights: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The students' folders by their names; `late` is not there from the start, nor is `other`, of the same name."""
    root = tmp_path_factory.mktemp("runs")
    return {
        "first": write_run(root / "first", tiny_model, 1, 4, "first"),
        "second": write_run(root / "second", tiny_model, 2, 12, "second"),
        "whole": str(shutil.copytree(other_weights, root / "whole")),
        "late": write_run(root / "late", tiny_model, 3, 16),
        "other": write_run(root / "other" / "late", tiny_model, 4, 2),
    }


@pytest.fixture(scope="package")
def several(paths: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    file = tmp_path_factory.mktemp("admin") / "key"
    file.write_text(KEY)
    given = (paths["first"], f"second={paths['second']}", paths["whole"])
    service = Service(given[0], free_port(), *given[1:], "--admin-key-file", str(file), "--deadline", str(DEADLINE_S))
    yield service
    assert service.stop() == []


@pytest.fixture(scope="package")
def greedy(paths: dict[str, str]) -> dict[str, dict[str, list[int]]]:
    """What transformers write for each question, by student."""
    return {name: greedy_tokens(path) for name, path in paths.items()}


def greedy_tokens(path: str) -> dict[str, list[int]]:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    student = find_student(path)
    model: Any = AutoModelForCausalLM.from_pretrained(student.model, dtype=torch.float32)
    if student.adapter:
        model = PeftModel.from_pretrained(model, student.adapter)
    tokenizer = AutoTokenizer.from_pretrained(student.tokenizer)
    told = {}
    for text in ASKED:
        turns = [{"role": "user", "content": text}]
        prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        prompt.pop("token_type_ids", None)
        answer = model.generate(**prompt, max_new_tokens=TOKENS, do_sample=False)
        told[text] = answer[0, prompt["input_ids"].shape[1] :].tolist()
    return told


def chat(text: str, name: str | None, **more: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": text}]
    asked = {"messages": turns, "max_tokens": TOKENS, "temperature": 0, "return_token_ids": True} | more
    return asked if name is None else asked | {"model": name}


def tokens(service: Service, text: str, name: str | None) -> tuple[str, list[int]]:
    """Who answers, and with what."""
    code, answer = service.request(CHAT, chat(text, name))
    assert code == 200, answer
    return answer["model"], answer["choices"][0]["token_ids"]


def administer(
    service: Service, method: str, path: str = ADMIN, body: object = None, key: str = KEY
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=120)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    response = connection.getresponse()
    return response.status, json.load(response)


def mixed(service: Service, greedy: dict[str, dict[str, list[int]]], count: int) -> None:
    """Ask so many questions of students by chance, and compare each answer."""
    drawn = random.Random(0)
    asked = [(drawn.choice(("first", "second", "whole")), drawn.choice(ASKED)) for _ in range(count)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        told = list(pool.map(lambda one: tokens(service, one[1], one[0]), asked))
    right = [(name, greedy[name][text]) for name, text in asked]
    wrong = [(one, answer[0]) for one, answer, wanted in zip(asked, told, right, strict=True) if answer != wanted]
    assert not wrong, Counter(wrong)
