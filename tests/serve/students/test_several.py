"""What several students in one service are asked, and who changes which these are."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from raydistill.pipelines.data.records import Question
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.serve.student import find_student
from tests.pipelines.views.browser import complaints, look, overflow, violations
from tests.serve.conftest import Service
from tests.serve.engines.test_faults import kill, replicas
from tests.serve.students.conftest import (
    ADMIN,
    ASKED,
    CHAT,
    CLIENTS,
    SOLVE,
    TEXT,
    TOKENS,
    administer,
    chat,
    mixed,
    tokens,
    write_run,
)
from tests.waiting import wait_until


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
    several: Service, paths: dict[str, str], tiny_model: str, tmp_path: Path
) -> None:
    high = write_run(tmp_path / "high", tiny_model, 5, 24)
    limits = write_run(tmp_path / "limits", tiny_model, 5, 4, "first", execution={"wall_s": 77})
    broken = write_run(tmp_path / "broken", tiny_model, 5, 4)
    Path(broken, "student/adapter_model.safetensors").write_bytes(b"nothing")
    for path, name, message in (
        (high, None, "an adapter of rank 24, and the engine over "),
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
    assert [student["name"] for student in administer(several, "GET")[1]["students"]] == ["first", "second", "whole"]


def test_who_was_added_outlives_the_process_that_notes_it(several: Service, paths: dict[str, str]) -> None:
    assert administer(several, "POST", body={"path": paths["late"]})[0] == 201
    kill(replicas(several, ":students"))
    assert several.request(CHAT, chat(ASKED[0], "late"))[0] == 200
    wait_until(lambda: administer(several, "DELETE", f"{ADMIN}/late")[0] == 200, 60, "the table to be back")
