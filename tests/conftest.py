"""What tests share: one small model made on the fly, one Ray, one pool of real engines over that model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines import engines, imported, ledger, pool

__all__ = ["engines", "imported", "ledger", "pool"]  # fixtures

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
# Ray Train looks after its workers every 2 s, and a checkpoint waits for the look before it.
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
# Tests share the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

SHARE_ENGINES = {
    "tests/actors/engine/test_engine.py",
    "tests/actors/engine/test_scoring.py",
    "tests/pipelines/doctor/test_engines.py",
    "tests/pipelines/doctor/test_scores.py",
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Have one worker run the tests of a file, all tests of one service, and all of one pool: starts take long."""
    from xdist.scheduler import LoadFileScheduling

    class ByStart(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = str(super()._split_scope(nodeid))
            if file in SHARE_ENGINES:
                return "engines"
            if not file.startswith("tests/serve/"):
                return file
            return "service" if file.count("/") == 2 else "guarded"

    return ByStart(config, log)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Llama of random weights with a tokenizer and chat template of its own, in Hugging Face format."""
    from tests.tiny import write_tiny_model

    return str(write_tiny_model(tmp_path_factory.mktemp("tiny") / "model", seed=0))


@pytest.fixture(scope="session")
def other_weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same architecture and tokenizer as `tiny_model`, with other weights."""
    from tests.tiny import write_tiny_model

    return str(write_tiny_model(tmp_path_factory.mktemp("tiny") / "other", seed=1))


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """A local Ray with 4 logical CPUs."""
    import ray

    from raydistill.pipelines.runtime.pools import connect

    connect(4)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def questions_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve questions with answers as JSONL."""
    import json

    path = tmp_path_factory.mktemp("questions") / "questions.jsonl"
    rows = [{"question": f"What is {i} plus {i}?", "answer": str(2 * i)} for i in range(12)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
