"""Planted faults of the machine: a layer of the sandbox is missing, the disk is full, a package is not as locked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raydistill.actors.sandbox.host.supervisor import JailOptions
from raydistill.pipelines.config.sections import EngineConfig, Execution
from raydistill.pipelines.doctor import memory
from raydistill.pipelines.doctor.machine import disk, sandbox, versions
from tests.pipelines.doctor.conftest import Make


@pytest.mark.parametrize(("layer", "status"), [(None, "ok"), ("landlock", "warn"), ("seccomp", "fail")])
def test_a_missing_layer_of_the_sandbox(layer: str | None, status: str) -> None:
    options = JailOptions(python=sys.executable, without=(layer,) if layer else ())
    (found,) = sandbox(Execution(), options)
    assert found.status == status and (not layer or layer in found.said), found
    assert bool(found.remedy) == bool(layer)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(make: Make, small_disk: Path, tmp_path: Path) -> None:
    (small_disk / "taken").write_bytes(b"0" * 700_000)
    (found,) = disk(make(run_dir=str(small_disk / "run")))
    assert found.status == "fail" and "0 MB free" in found.said and "make room" in found.remedy
    assert [one.status for one in disk(make(run_dir=str(tmp_path / "run")))] == ["ok"]


@pytest.mark.locked
def test_versions_are_the_locked_ones() -> None:
    assert [found.status for found in versions()] == ["ok"]


def test_versions_against_another_lock(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("# pinned\npydantic==1.0\nrich==0.1 ; python_version > '3'\nnot-there==1.0\n")
    (found,) = versions(lock)
    assert (
        found.status == "warn" and "pydantic" in found.said and "rich" in found.said and "not-there" not in found.said
    )


def test_memory_that_is_not_there(make: Make, tiny_model: str) -> None:
    assert 100_000 < (memory.parameters(tiny_model) or 0) < 300_000
    assert memory.parameters("no/model-of-the-hub") is None
    assert {found.status for found in memory.memory(make())} == {"ok"}
    engine = EngineConfig(model=tiny_model, dtype="float32", kv_cache_gb=100_000)
    greedy = memory.memory(make(teacher=engine.model_dump(include={"kv_cache_gb"})))
    assert {found.about: found.status for found in greedy} == {
        "memory, teacher's engines": "fail",
        "memory, student's engines": "fail",  # hosted as the teacher is
        "memory, training": "ok",
    }


@pytest.mark.parametrize(
    ("train", "status", "said"),
    [
        ({"micro_batch_tokens": 10**9}, "ok", "wanted"),  # of which a step is one part
        ({"micro_batch_tokens": 10**9, "batch_tokens": 10**9}, "fail", "wanted"),
        ({"gpus_per_worker": 1}, "fail", "train.gpus_per_worker is 1, and there is no GPU on this machine"),
    ],
)
def test_what_training_wants(
    make: Make, monkeypatch: pytest.MonkeyPatch, train: dict[str, int], status: str, said: str
) -> None:
    monkeypatch.setattr(memory, "gpu_bytes", lambda: 0)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    [found] = [found for found in memory.memory(make(train=train)) if "training" in found.about]
    assert found.status == status and said in found.said
