"""Pools grow under backlog and shrink when idle, and nodes come and go with them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT
from tests.cluster.elastic_driver import CALLS
from tests.cluster.hosts import Hosts, missing

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(missing() is not None, reason=f"hosts in namespaces: {missing()}"),
]

DEFAULTS = {
    "cluster_name": "fake_multinode",
    "max_workers": 4,
    "provider": {"type": "fake_multinode", "disable_node_updaters": True, "disable_launch_config_check": True},
    "available_node_types": {},
    "head_node_type": "ray.head.default",
    "upscaling_speed": 1.0,
    "idle_timeout_minutes": 0.1,
    "docker": {},
    "auth": {},
    "file_mounts": {},
    "cluster_synced_files": [],
    "initialization_commands": [],
    "setup_commands": [],
    "head_setup_commands": [],
    "worker_setup_commands": [],
    "head_start_ray_commands": [],
    "worker_start_ray_commands": [],
}
"""Of Ray's fake clusters: it reads them from a file that its wheel lacks (2.60)."""


def with_defaults(folder: Path) -> dict[Path, Path]:
    """Where the host is to see a copy of that part of Ray with the file: {original: copy}."""
    from ray.autoscaler._private import fake_multi_node

    [original] = map(Path, fake_multi_node.__path__)
    copy = folder / original.name
    shutil.copytree(original, copy)
    (copy / "example.yaml").write_text(json.dumps(DEFAULTS))
    return {original: copy}


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, Any]]:
    """What tests.cluster.elastic_driver has seen, on a host of its own."""
    folder = Path("/var/tmp", f"raydistill-{uuid.uuid4().hex[:8]}")
    hosts = Hosts(folder, ("elastic",), mounts=with_defaults(folder))
    with hosts as (host,):
        python = f"PATH={Path(sys.executable).parent}:$PATH {sys.executable}"
        command = f"cd {ROOT} && {python} -m tests.cluster.elastic_driver {folder}"
        done = subprocess.run(hosts.ssh(host, command), capture_output=True, text=True, timeout=1200)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        yield json.loads((folder / "seen.json").read_text())


@pytest.mark.parametrize("pool", ["executors", "engines", "retrievers"])
def test_a_pool_grows_with_its_backlog_and_shrinks_without(seen: dict[str, Any], pool: str) -> None:
    found = seen[pool]
    kind = {"executors": "cpu", "engines": "gpu", "retrievers": "cpu"}[pool]
    assert kind not in found["nodes_before"]
    assert found["members_at_start"] == 1
    assert found["nodes_at_most"].count(kind) == 2
    assert len(found["answers"]) >= 2 * CALLS
    assert kind not in found["nodes_after"]
    print(f"{pool}: second member on a new node after {found['seconds_to_second_member']} s")


def test_no_work_is_lost_while_members_come_and_go(seen: dict[str, Any]) -> None:
    assert set(seen["executors"]["answers"]) == {"passed"}
    assert all(answer == [f"q{n}"] for n, answer in enumerate(seen["engines"]["answers"]))
    assert all(answer == ["sums"] for answer in seen["retrievers"]["answers"])
