"""`ray up` for real: deploy/on-premises.yaml on two hosts, pipelines submitted to them, a student served, `ray down`.

The hosts are network namespaces (tests.cluster.hosts). Each gets the project by rsync; its .venv is this one.
"""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import ROOT
from tests.cluster.hosts import Host, Hosts, missing
from tests.rows import recorded_run, write_rows
from tests.waiting import wait_until

BIN = Path(sys.executable).parent
DASHBOARD = 18265  # of this machine; forwarded to the head's 8265
QUESTIONS = 24
CPUS_PER_HOST = 4  # logical ones: the hosts share this machine

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(missing() is not None, reason=f"hosts in namespaces: {missing()}"),
]


@dataclass
class Deployed:
    """The cluster, as the person sees it who has started it."""

    hosts: Hosts
    head: Host
    worker: Host
    shared: Path  # a folder that all hosts see
    launcher: Path  # the launcher's file
    environment: dict[str, str]

    def ray(self, *arguments: str, check: bool = True, **environment: str) -> str:
        """The output of a `ray` command on this side; it must succeed, or fail with `check=False`."""
        done = subprocess.run(
            [BIN / "ray", *arguments],
            cwd=ROOT,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=900,
        )
        told = done.stdout + done.stderr
        assert (done.returncode == 0) == check, f"ray {' '.join(arguments)}: {told[-4000:]}"
        return told

    def submit(self, command: str, check: bool = True, wait: bool = True, **environment: str) -> str:
        address = ("--address", f"http://127.0.0.1:{DASHBOARD}", *([] if wait else ["--no-wait"]))
        return self.ray("job", "submit", *address, "--", "bash", "-c", command, check=check, **environment)

    def on_head(self, command: str) -> str:
        """The output of a command on the head, as `ray exec` would run it."""
        line = f"bash -c 'source ~/.bashrc; export RAY_AUTH_MODE=token; {command}' 2>/dev/null"
        return subprocess.run(self.hosts.ssh(self.head, line), capture_output=True, text=True, timeout=300).stdout

    def nodes(self) -> list[dict[str, Any]]:
        return listed(self.on_head("ray list nodes --format json --detail"))


def listed(output: str) -> list[dict[str, Any]]:
    """The rows of a `ray list ... --format json`."""
    found = re.search(r"^\[.*\]\s*$", output, re.DOTALL | re.MULTILINE)
    return json.loads(found[0]) if found else []


@pytest.fixture(scope="module")
def deployed() -> Iterator[Deployed]:
    """Two hosts after `ray up`, with the dashboard's port forwarded here."""
    folder = Path("/var/tmp", f"raydistill-{uuid.uuid4().hex[:8]}")
    hosts = Hosts(folder, ("head", "worker"))
    with hosts as (head, worker):
        for host in (head, worker):
            install(host)
        client = folder / "client"
        client.mkdir()
        cluster = Deployed(hosts, head, worker, folder / "shared", client / "cluster.yaml", variables(client))
        cluster.shared.mkdir()
        cluster.launcher.write_text(yaml.safe_dump(adapted(cluster)))
        cluster.ray("get-auth-token", "--generate")
        cluster.ray("up", "--yes", "--no-config-cache", str(cluster.launcher))
        with forwarded(cluster):
            yield cluster


def install(host: Host) -> None:
    """What `make setup` leaves behind, from this environment."""
    venv = host.home / "raydistill" / ".venv"
    venv.mkdir(parents=True)
    for part in Path(sys.prefix).iterdir():
        if part.name != "installed":
            (venv / part.name).symlink_to(part)
    (venv / "installed").touch()


def variables(client: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return kept | {"HOME": str(client), "RAY_TMPDIR": str(client), "RAY_AUTH_MODE": "token", "PATH": path()}


def path() -> str:
    return f"{BIN}:{os.environ['PATH']}"


def adapted(cluster: Deployed) -> dict[str, Any]:
    """deploy/on-premises.yaml with these hosts' addresses and key; both hosts work, with CPUs that they pretend."""
    text = (ROOT / "deploy" / "on-premises.yaml").read_text(encoding="utf-8")
    given = f"--num-cpus={CPUS_PER_HOST}"
    text = text.replace("--port=6379 --num-cpus=0", f"--port=6379 {given}")
    text = text.replace("ray start --block", f"ray start --block {given}")
    assert text.count(given) == 2
    config = yaml.safe_load(text)
    config["provider"] |= {"head_ip": cluster.head.address, "worker_ips": [cluster.worker.address]}
    config["auth"] = {"ssh_user": "root", "ssh_private_key": str(cluster.hosts.key)}
    mounts = {
        remote: local.replace("~", cluster.environment["HOME"]) for remote, local in config["file_mounts"].items()
    }
    return config | {"file_mounts": mounts | {"~/raydistill": str(ROOT)}}


class forwarded:
    """`ray dashboard`: the head's dashboard on a port of this machine."""

    def __init__(self, cluster: Deployed) -> None:
        self._cluster = cluster

    def __enter__(self) -> None:
        command = [BIN / "ray", "dashboard", "--port", str(DASHBOARD), str(self._cluster.launcher)]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        environment = self._cluster.environment
        self._process = subprocess.Popen(command, env=environment, start_new_session=True, **quiet)  # type: ignore[call-overload]
        wait_until(self._listens, 120, "the forwarded dashboard")

    def _listens(self) -> bool:
        import socket

        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", DASHBOARD)) == 0

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait()


@pytest.fixture(scope="module")
def recorded(deployed: Deployed) -> Path:
    """The configuration of a small run: recorded programs, engines on the head, executors on the worker."""
    folder = deployed.shared
    questions = [
        {
            "question": f"What is {n} plus {n}?",
            "answer": str(2 * n),
            "program": f"def solution():\n    return {n} + {n}\n",
        }
        for n in range(QUESTIONS)
    ]
    rows = write_rows(folder / "questions.jsonl", questions)
    config = recorded_run(rows, {"node_labels": {"raydistill": "head"}}, node_labels={"raydistill": "cpu"})
    path = folder / "recorded.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_both_hosts_join_with_their_labels(deployed: Deployed) -> None:
    def joined() -> bool:
        alive = [node for node in deployed.nodes() if node["state"] == "ALIVE"]
        return {node["node_ip"] for node in alive} == {deployed.head.address, deployed.worker.address}

    wait_until(joined, 600, "the worker to join")
    labels = {node["node_ip"]: node["labels"]["raydistill"] for node in deployed.nodes()}
    assert labels == {deployed.head.address: "head", deployed.worker.address: "cpu"}


def test_the_token_is_on_both_hosts_and_in_no_file_of_the_project(deployed: Deployed) -> None:
    token = (Path(deployed.environment["HOME"]) / ".ray" / "auth_token").read_text().strip()
    for host in (deployed.head, deployed.worker):
        copy = host.home / ".ray" / "auth_token"
        assert copy.read_text().strip() == token
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    found = subprocess.run(["git", "grep", "--quiet", "--fixed-strings", token], cwd=ROOT)
    assert found.returncode == 1
    assert token not in deployed.launcher.read_text()


def test_without_the_token_nothing_is_accepted(deployed: Deployed, tmp_path: Path) -> None:
    told = deployed.submit("true", check=False, HOME=str(tmp_path), RAY_AUTH_MODE="disabled")
    assert "401" in told or "uthentication" in told or "Unauthorized" in told
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0" * 64)
    told = deployed.submit("true", check=False, HOME=str(tmp_path))
    assert "401" in told or "403" in told or "Forbidden" in told or "uthentication" in told


def test_a_pipeline_runs_with_its_pools_on_both_hosts(deployed: Deployed, recorded: Path) -> None:
    run_dir = deployed.shared / "run"
    deployed.submit(f"cd ~/raydistill && raydistill synth {recorded} --run-dir {run_dir}")
    report = json.loads((run_dir / "report.json").read_text())
    assert report["verification"]["passed"] == report["verification"]["programs"] == QUESTIONS
    address = {node["node_id"]: node["node_ip"] for node in deployed.nodes()}
    hosted: dict[str, set[str]] = {}
    for actor in listed(deployed.on_head("ray list actors --detail --format json --limit 1000")):
        if found := re.search(r"-(engines|executors)#", actor.get("name") or ""):
            hosted.setdefault(found[1], set()).add(address[actor["node_id"]])
    assert hosted == {"engines": {deployed.head.address}, "executors": {deployed.worker.address}}


def test_a_folder_of_one_host_is_refused_at_start(deployed: Deployed, recorded: Path) -> None:
    told = deployed.submit(f"cd ~/raydistill && raydistill synth {recorded} --run-dir /tmp/run", check=False)
    assert "run_dir /tmp/run is a folder of this node alone" in told
    assert deployed.worker.address in told
    assert not list((deployed.worker.disk).glob("**/completions"))


def test_a_student_is_served_to_the_outside(deployed: Deployed) -> None:
    serve = "raydistill serve demo/models/base-student --host 0.0.0.0 --open --port 8000"
    deployed.submit(f"cd ~/raydistill && exec {serve}", wait=False)
    url = f"http://{deployed.head.address}:8000"

    def healthy() -> bool:
        try:
            return urllib.request.urlopen(f"{url}/healthz", timeout=10).status == 200
        except OSError:
            return False

    wait_until(healthy, 900, "the service to answer")
    question = json.dumps({"question": "A student has 9 pencils. How many pencils are there?"}).encode()
    request = urllib.request.Request(f"{url}/v1/solve", question, {"Content-Type": "application/json"})
    answer = json.loads(urllib.request.urlopen(request, timeout=300).read())
    assert answer["model"] == "base-student"
    assert answer["status"] in ("passed", "failed")


def test_ray_down_leaves_nothing(deployed: Deployed) -> None:
    """Last, because of what it does. A worker notices after a minute that its head has gone."""
    deployed.ray("down", "--yes", str(deployed.launcher))

    def left() -> list[str]:
        """All but what holds the forwarded dashboard open."""
        found = [*deployed.head.processes(), *deployed.worker.processes()]
        return [line for line in found if "sleep 86400" not in line]

    wait_until(lambda: not left(), 240, "the last process to end")
