"""What a configuration names is looked for before anything starts: in directories, in the hub's cache, on the hub."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.sections import EngineConfig
from raydistill.pipelines.runtime.engines import Engines
from raydistill.pipelines.runtime.named import check_hub, check_model

HAS, ASKED = "Qwen/Qwen3-4B", []


class Hub(BaseHTTPRequestHandler):
    """The hub's page of one model."""

    def do_GET(self) -> None:
        ASKED.append(self.path)
        self.send_response(200 if self.path == f"/api/models/{HAS}" else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def hub() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def refused(model: str, check: Callable[[str], None]) -> str:
    with pytest.raises(UsageError) as error:
        check(model)
    assert model in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


def test_a_path_that_is_no_model(tmp_path: Path) -> None:
    check = partial(check_model, setting="teacher.model")
    check(HAS)
    assert "no config.json" in refused(str(tmp_path), check)
    for path in ("./nowhere", "/nowhere/at/all", "runs/demo/student"):
        assert f"teacher.model: {path} is neither a directory nor a hub id" in refused(path, check)


def test_the_hub_is_asked_once_for_what_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_hub(str(tmp_path))
    with hub() as url:
        monkeypatch.setattr(constants, "ENDPOINT", url)
        check_hub(HAS)
        assert f"{url}/api/models/runs/demo says 401" in refused("runs/demo", check_hub)
        snapshot = tmp_path / "cache" / "models--some--model" / "snapshots" / "abc"
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").touch()
        check_hub("some/model", "abc")
        assert "says 401" in refused("some/model", check_hub)  # at another revision
        assert [f"/api/models/{name}" for name in (HAS, "runs/demo", "some/model")] == ASKED
    assert "no hub id" in refused("a b/c", check_hub)
    assert f"{url} cannot be reached (ConnectError)" in refused("runs/demo", check_hub)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refused(HAS, check_hub)


def test_other_nodes_may_have_what_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    check_hub(HAS)


def test_no_engine_is_started_for_a_model_that_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    config = EngineConfig(model="runs/demo")
    refused("runs/demo", lambda model: Engines("nowhere", str(tmp_path)).use(config))
