"""A new student rolls in beside the old one, which stays where the new one fails; no request fails meanwhile."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.serve.conftest import KNOWN, Service, free_port
from tests.serve.engines.test_faults import replicas
from tests.serve.students.conftest import (
    ADMIN,
    ASKED,
    CLIENTS,
    DEADLINE_S,
    KEY,
    SOLVE,
    administer,
    greedy_tokens,
    tokens,
    write_run,
)
from tests.tiny import teach
from tests.waiting import wait_until

T = TypeVar("T")

SEVEN = "What is 3 plus 4?"
REQUESTS = 2000


def rolled(service: Service, name: str, path: str, **trial: str) -> Any:
    code, told = roll(service, name, path, **trial)
    assert code == 200, told
    return told


def roll(service: Service, name: str, path: str, **trial: str) -> tuple[int, Any]:
    return administer(service, "PUT", f"{ADMIN}/{name}", {"path": path} | trial)


def under_load(clients: int, ask: Callable[[], T], change: Callable[[], None], least: int = 0) -> list[T]:
    """What clients were told while something changed, and until there are so many answers."""
    over, told = threading.Event(), list[T]()

    def client() -> None:
        while not over.is_set() or len(told) < least:
            told.append(ask())

    with ThreadPoolExecutor(clients) as pool:
        asking = [pool.submit(client) for _ in range(clients)]
        try:
            wait_until(lambda: len(told) >= clients, 120, "the clients' first answers")
            change()
        finally:
            over.set()
        for one in asking:
            one.result()
    return told


def test_another_adapter_rolls_in_under_load(
    several: Service, paths: dict[str, str], greedy: dict[str, dict[str, list[int]]]
) -> None:
    assert administer(several, "POST", body={"path": paths["late"], "name": "rolling"})[0] == 201

    def change() -> None:
        served = rolled(several, "rolling", paths["other"])
        assert (served["name"], served["rank"]) == ("rolling", 2)
        assert tokens(several, ASKED[0], "rolling") == ("rolling", greedy["other"][ASKED[0]])

    told = under_load(4, lambda: tokens(several, ASKED[0], "rolling"), change)
    assert {json.dumps(ids) for _, ids in told} == {json.dumps(greedy[of][ASKED[0]]) for of in ("late", "other")}
    assert roll(several, "nobody", paths["other"])[0] == 404
    assert administer(several, "DELETE", f"{ADMIN}/rolling")[0] == 200


def test_what_fails_changes_nothing(several: Service, tiny_model: str, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(tiny_model, tmp_path / "broken"))
    (broken / "model.safetensors").write_bytes(b"nothing")
    silent = write_run(tmp_path / "silent", tiny_model, 6, 4, "first")
    before = administer(several, "GET")
    for path, trial, message in (
        (str(broken), {}, "broken: its weights cannot be read: "),
        (silent, {"question": SEVEN}, f"silent/student: asked '{SEVEN}', it gives no answer ("),
    ):
        code, problem = roll(several, "first", path, **trial)
        assert code == 422 and message in problem["error"]["message"], problem
    assert roll(several, "first", silent, answer="7")[0] == 400
    assert administer(several, "GET") == before


def test_other_weights_take_over_with_an_engine_of_their_own(several: Service, tiny_model: str, tmp_path: Path) -> None:
    new = str(shutil.copytree(tiny_model, tmp_path / "new"))
    old, wanted = tokens(several, ASKED[0], "whole"), greedy_tokens(new)[ASKED[0]]
    rolled(several, "whole", new)
    assert tokens(several, ASKED[0], "whole") == ("whole", wanted) != old
    assert [model["id"] for model in several.request("/v1/models")[1]["data"]] == ["first", "second", "whole"]
    assert len(replicas(several, "LLMServer")) == 3  # the old one has until its last request is over


@pytest.fixture
def rolling(knowing: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    file = tmp_path_factory.mktemp("admin") / "key"
    file.write_text(KEY)
    service = Service(knowing, free_port(), "--admin-key-file", str(file), "--deadline", str(DEADLINE_S))
    yield service
    assert service.stop() == []


def taught(knowing: str, folder: Path, answer: str) -> str:
    """Another student that knows what 3 plus 4 is, or believes so."""
    shutil.copytree(knowing, folder)
    teach(folder, KNOWN | {SEVEN: f"```python\ndef solution():\n    return {answer}\n```"})
    return str(folder)


def misshapen(knowing: str, folder: Path) -> str:
    """One whose weights are not those that its configuration tells of."""
    shutil.copytree(knowing, folder)
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(told | {"intermediate_size": 2 * told["intermediate_size"]}))
    return str(folder)


@pytest.mark.slow
def test_no_request_fails_while_students_roll(rolling: Service, knowing: str, tmp_path: Path) -> None:
    new, wrong = (taught(knowing, tmp_path / name, answer) for name, answer in (("new", "14 - 7"), ("wrong", "8")))
    broken = misshapen(knowing, tmp_path / "broken")

    def ask() -> tuple[int, str, str]:
        code, told = rolling.request(SOLVE, {"question": SEVEN})
        return code, told.get("answer", ""), told.get("program", "").rpartition("return ")[2].strip()

    def fail() -> None:
        for path, message in ((wrong, "answers '8', not '7'"), (broken, "broken: cannot be served: ")):
            code, problem = roll(rolling, "student", path, question=SEVEN, answer="7")
            assert code == 422 and message in problem["error"]["message"], problem

    def change() -> None:
        started = time.monotonic()
        rolled(rolling, "student", new, question=SEVEN, answer="7")
        print(f"rolled in {time.monotonic() - started:.1f} s")
        assert ask() == (200, "7", "14 - 7")

    told = under_load(CLIENTS, ask, fail, REQUESTS)
    assert len(told) >= REQUESTS and Counter(told).keys() == {(200, "7", "3 + 4")}
    told = under_load(CLIENTS, ask, change, REQUESTS)
    print(Counter(told))
    assert len(told) >= REQUESTS and Counter(told).keys() == {(200, "7", "3 + 4"), (200, "7", "14 - 7")}
    wait_until(lambda: len(replicas(rolling, "LLMServer")) == 1, DEADLINE_S + 60, "the old engine's end")
