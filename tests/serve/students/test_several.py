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

from raydistill.pipelines.data.records import Question
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.serve.student import find_student
from tests.pipelines.views.browser import complaints, look, overflow, violations
from tests.serve.conftest import Service, free_port
from tests.serve.engines.test_faults import kill, replicas
from tests.tiny import write_adapter
from tests.waiting import wait_until

CHAT, TEXT, SOLVE, ADMIN = "/v1/chat/completions", "/v1/completions", "/v1/solve", "/admin/students"
KEY = "an-admin-key-of-a-test"
CLIENTS, TOKENS = 16, 12
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


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def several(paths: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    file = tmp_path_factory.mktemp("admin") / "key"
    file.write_text(KEY)
    given = (paths["first"], f"second={paths['second']}", paths["whole"])
    service = Service(given[0], free_port(), *given[1:], "--admin-key-file", str(file))
    yield service
    assert service.stop() == []


@pytest.fixture(scope="module")
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


def test_all_are_listed_and_each_engine_was_told_of(several: Service) -> None:
    code, models = several.request("/v1/models")
    assert code == 200 and [model["id"] for model in models["data"]] == ["first", "second", "whole"]
    assert several.request("/v1/models/student")[1]["id"] == "first"
    assert several.request("/v1/models/second")[1]["id"] == "second"
    assert several.request("/healthz")[1]["model"] == "first, second, whole"
    assert "first, second: an engine over" in several.printed and "whole: an engine of" in several.printed
    assert len(replicas(several, "LLMServer")) == 2


def test_mixed_requests_get_their_own_student_s_answers(
    several: Service, greedy: dict[str, dict[str, list[int]]]
) -> None:
    assert len({json.dumps(answers) for answers in greedy.values()}) == len(greedy)
    mixed(several, greedy, 120)


def test_the_page_lets_one_choose(browser: Any, several: Service) -> None:
    look(browser, f"{several.url}/", 400, "light")
    wait_until(lambda: browser.find_element("id", "model").is_displayed(), 60, "the students' names")
    names = browser.find_element("id", "model")
    assert names.text.split() == ["first", "second", "whole"]
    names.send_keys("second")
    browser.find_element("id", "go").click()
    wait_until(lambda: browser.find_element("id", "progress").text == "done", 120, "an answer")
    assert browser.find_element("id", "verdict").text.startswith("second, ")
    assert overflow(browser) <= 0 and violations(browser) == [] and complaints(browser) == []


@pytest.mark.slow
def test_a_thousand_mixed_requests(several: Service, greedy: dict[str, dict[str, list[int]]]) -> None:
    mixed(several, greedy, 1000)


@pytest.mark.parametrize("name", [None, "student"])
def test_without_a_name_and_by_the_alias_the_first_answers(
    several: Service, greedy: dict[str, dict[str, list[int]]], name: str | None
) -> None:
    assert tokens(several, ASKED[0], name) == ("first", greedy["first"][ASKED[0]])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, chat("hi", "nobody")),
        (TEXT, {"prompt": "a", "model": "nobody"}),
        (SOLVE, {"question": "q", "model": "nobody"}),
    ],
)
def test_an_unknown_model_is_one_line_with_the_names(several: Service, path: str, body: object) -> None:
    code, problem = several.request(path, body)
    message = "there is no model 'nobody'; expected one of first, second, whole"
    told = {"message": message, "type": "invalid_request_error", "param": "model", "code": "model_not_found"}
    assert (code, problem) == (404, {"error": told})


@pytest.mark.parametrize("name", ["first", "second", "whole"])
def test_each_solves_by_its_own_recipe(several: Service, paths: dict[str, str], name: str) -> None:
    recipe = make_recipe(find_student(paths[name]).recipe)
    [prompt] = recipe.student.prompts(Question("", ASKED[1], ""))
    code, answer = several.request(SOLVE, {"question": ASKED[1], "model": name, "max_tokens": TOKENS})
    assert code == 200 and answer["model"] == name
    body = chat("", name, messages=list(prompt.messages))
    assert answer["completion"] == several.request(CHAT, body)[1]["choices"][0]["message"]["content"]
    code, several_samples = several.request(SOLVE, {"question": ASKED[1], "model": name, "n": 3, "max_tokens": TOKENS})
    assert (code, several_samples["model"]) == (200, name)
    assert several.request(SOLVE, {"question": ASKED[1], "model": name, "tokens": 1})[0] == 422


def test_the_page_of_the_routes_stays_true(several: Service) -> None:
    _, page = several.request("/openapi.json")
    body = page["paths"][SOLVE]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/SolveRequest"}  # these three take the same
    assert "404" in page["paths"][SOLVE]["post"]["responses"] and set(page["paths"][ADMIN]) == {"get", "post"}


@pytest.mark.parametrize(("key", "message"), [("", "no admin key"), ("x" * 22, "not the admin key")])
@pytest.mark.parametrize(("method", "path"), [("GET", ADMIN), ("POST", ADMIN), ("DELETE", f"{ADMIN}/second")])
def test_only_the_administrator_changes_students(
    several: Service, method: str, path: str, key: str, message: str
) -> None:
    code, problem = administer(several, method, path, {"path": "/x"} if method == "POST" else None, key)
    assert (code, problem["error"]["code"]) == (401, "invalid_api_key") and message in problem["error"]["message"]


def test_adapters_come_and_go_and_a_name_comes_back_with_other_weights(
    several: Service, paths: dict[str, str], greedy: dict[str, dict[str, list[int]]]
) -> None:
    for of in ("late", "other"):
        code, added = administer(several, "POST", body={"path": paths[of]})
        assert (code, added["name"]) == (201, "late"), added
        names = [student["name"] for student in administer(several, "GET")[1]["students"]]
        assert names == ["first", "second", "whole", "late"]
        with ThreadPoolExecutor(CLIENTS) as pool:
            told = list(pool.map(lambda text: tokens(several, text, "late"), ASKED * 4))
        assert told == [("late", greedy[of][text]) for text in ASKED * 4]
        events = several.request(CHAT, chat(ASKED[0], "late", stream=True))[1]
        parts = [json.loads(line.removeprefix("data: ")) for line in events.splitlines() if line.startswith("data: {")]
        assert {part["model"] for part in parts} == {"late"}
        code, answer = several.request(SOLVE, {"question": ASKED[0], "model": "late", "n": 2, "max_tokens": TOKENS})
        assert (code, answer["model"], answer["program"]) == (200, "late", None)
        mixed(several, greedy, 30)
        code, left = administer(several, "DELETE", f"{ADMIN}/late")
        assert code == 200 and [student["name"] for student in left["students"]] == names[:-1]
        assert several.request(CHAT, chat("hi", "late"))[0] == 404
    assert administer(several, "DELETE", f"{ADMIN}/late")[0] == 404


def test_what_cannot_be_added_or_removed_is_one_line(
    several: Service, paths: dict[str, str], tiny_model: str, other_weights: str, tmp_path: Path
) -> None:
    high = write_run(tmp_path / "high", tiny_model, 5, 24)
    limits = write_run(tmp_path / "limits", tiny_model, 5, 4, "first", execution={"wall_s": 77})
    broken = write_run(tmp_path / "broken", tiny_model, 5, 4)
    Path(broken, "student/adapter_model.safetensors").write_bytes(b"nothing")
    for path, name, message in (
        (high, None, "an adapter of rank 24, and the engine over "),
        (write_run(tmp_path / "base", other_weights, 5, 4), None, "is not served; served are adapters of "),
        (paths["whole"], "again", "all weights, not an adapter: start the service with it"),
        (paths["late"], "second", "would both be called second: name one as NAME=PATH"),
        (paths["late"], "student", "student always means the first student"),
        (paths["late"], "a/b", "no name for a student"),
        (str(tmp_path / "none"), None, "none: no such directory; expected a run directory"),
        (limits, None, "no executors with its limits (cpu_s 2, wall_s 77.0, "),
        (broken, None, "broken/student: cannot be loaded: "),
    ):
        code, problem = administer(several, "POST", body={"path": path, "name": name})
        assert code == 422 and message in problem["error"]["message"] and "\n" not in problem["error"]["message"]
    assert administer(several, "POST", body={"path": 5})[0] == 400
    code, problem = administer(several, "DELETE", f"{ADMIN}/whole")
    assert code == 422 and "not an adapter: stop the service" in problem["error"]["message"]
    assert [student["name"] for student in administer(several, "GET")[1]["students"]] == ["first", "second", "whole"]


def test_who_was_added_outlives_the_process_that_notes_it(several: Service, paths: dict[str, str]) -> None:
    assert administer(several, "POST", body={"path": paths["late"]})[0] == 201
    kill(replicas(several, ":students"))
    assert several.request(CHAT, chat(ASKED[0], "late"))[0] == 200
    wait_until(lambda: administer(several, "DELETE", f"{ADMIN}/late")[0] == 200, 60, "the table to be back")
