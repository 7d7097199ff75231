"""One pool of real engines over the small model, for all tests that need no other: its start takes half a minute."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from raydistill.actors.pool import Pool
from raydistill.pipelines.config.sections import EngineConfig
from raydistill.pipelines.runtime.pools import engine_pool

CONTEXT = 256
WATCH = """
import os, sys

class Watch:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in ("actors", "pipelines", "serve", "raydistill"):
            with open(os.path.join(os.path.dirname(__file__), f"imports-{os.getpid()}"), "a") as file:
                print(name, file=file)

sys.meta_path.insert(0, Watch)
"""


@pytest.fixture(scope="session")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("ledger"))


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which each process of the pool notes what it imports of ours, in a file by its process id."""
    folder = tmp_path_factory.mktemp("imported")
    (folder / "sitecustomize.py").write_text(WATCH, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def engines(cluster: None, tiny_model: str, ledger: str, imported: Path) -> Iterator[Pool]:
    config = EngineConfig(model=tiny_model, dtype="float32", max_model_len=CONTEXT, kv_cache_gb=0.25, max_lora_rank=8)
    pool = engine_pool("test-engines", config, ledger)
    path = os.pathsep.join(filter(None, [str(imported), os.environ.get("PYTHONPATH")]))
    pool.settings = replace(pool.settings, environment={**pool.settings.environment, "PYTHONPATH": path})
    pool.start(weights=tiny_model)
    yield pool
    pool.release()


@pytest.fixture
def pool(engines: Pool, tiny_model: str) -> Iterator[Pool]:
    """The engines with the small model's weights, before and after."""
    yield engines
    engines.start(weights=tiny_model)
