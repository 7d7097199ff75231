"""The files that put raydistill on a cluster: what can be known of them without the cluster."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import ROOT

LAUNCHER = ("cluster.yaml", "deploy/on-premises.yaml")
KUBERAY = sorted(path.name for path in (ROOT / "deploy" / "kuberay").glob("*.yaml"))
TOKEN = re.compile(r"\b[0-9a-f]{64}\b")


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def objects(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((ROOT / "deploy" / "kuberay" / name).read_text(encoding="utf-8")))


def clusters() -> list[dict[str, Any]]:
    """The spec of the Ray cluster of every KubeRay file."""
    specs = [made["spec"] for name in KUBERAY for made in objects(name) if made["apiVersion"].startswith("ray.io")]
    return [spec.get("rayClusterSpec") or spec.get("rayClusterConfig") or spec for spec in specs]


def locked(package: str) -> str:
    lock = (ROOT / "requirements-cpu.txt").read_text(encoding="utf-8")
    found = re.search(rf"^{package}==(.+)$", lock, re.MULTILINE)
    assert found, package
    return found[1]


def commands(config: dict[str, Any]) -> list[str]:
    """All shell commands of a launcher's file."""
    own = [value for key, value in config.items() if key.endswith("_commands")]
    types = config.get("available_node_types", {}).values()
    return [command for group in [*own, *(t.get("worker_setup_commands", []) for t in types)] for command in group]


@pytest.mark.parametrize("name", LAUNCHER)
def test_launcher_files_fit_rays_schema(name: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    filled = prepare_config(load(name))
    validate_config(filled)
    assert filled["head_node_type"] in filled["available_node_types"]


def test_every_kind_of_node_has_a_label_that_pools_can_name() -> None:
    from ray._private.label_utils import validate_label_selector, validate_node_labels

    types = load("cluster.yaml")["available_node_types"]
    assert {name: node["labels"]["raydistill"] for name, node in types.items()} == {
        n: n for n in ("head", "gpu", "cpu")
    }
    for node in types.values():
        validate_node_labels(node["labels"])
        assert validate_label_selector(node["labels"]) is None
    assert types["head"]["resources"] == {"CPU": 0}
    for spec in clusters():
        groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
        assert groups[0]["labels"] == {"raydistill": "head"}
        assert all(group["labels"] == {"raydistill": group["groupName"]} for group in groups[1:])
    assert "--labels=raydistill=head" in str(commands(load("deploy/on-premises.yaml")))


@pytest.mark.parametrize("name", LAUNCHER)
def test_every_ray_start_asks_for_the_token(name: str) -> None:
    config = load(name)
    starts = [command for command in commands(config) if "ray start" in command]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token ray start" in command for command in starts)
    mounted = {local: remote for remote, local in config["file_mounts"].items()}
    assert mounted["~/.ray/auth_token"].endswith("/.ray/auth_token")
    assert any("--autoscaling-config=~/ray_bootstrap_config.yaml" in command for command in starts)
    assert all("--dashboard-host=0.0.0.0" not in command for command in starts)


def test_kuberay_asks_for_the_token_and_the_locks_ray() -> None:
    assert len(clusters()) == len(KUBERAY) == 3
    for spec in clusters():
        assert spec["authOptions"] == {"mode": "token"}
        assert spec["rayVersion"] == locked("ray")


def test_no_file_of_the_repository_holds_a_token() -> None:
    tracked = subprocess.run(["git", "ls-files", "*.yaml", "deploy"], cwd=ROOT, capture_output=True, text=True)
    names = {*tracked.stdout.split(), *LAUNCHER}
    assert not [name for name in names if TOKEN.search((ROOT / name).read_text(encoding="utf-8"))]


def test_images_are_those_that_the_container_file_builds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    container = (ROOT / "deploy" / "Containerfile").read_text(encoding="utf-8")
    built = set(re.findall(r"-t (raydistill:\S+)", container))
    assert built == {f"raydistill:{project['version']}-{kind}" for kind in ("cpu", "gpu")}
    used = {
        box["image"]
        for spec in clusters()
        for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
        for box in group["template"]["spec"]["containers"]
    }
    assert used == built
    version = re.search(r"python:(\d+)\.(\d+)", container)
    assert version and 11 <= int(version[2]) <= 12


def test_set_up_uses_targets_that_make_has() -> None:
    files = [*LAUNCHER, "deploy/Containerfile"]
    text = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in files)
    targets = {*re.findall(r"raydistill (setup[a-z-]*)", text), *re.findall(r"SETUP=(\S+)", text)}
    assert "setup" in targets
    for target in targets:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_entry_points_are_there() -> None:
    job = next(made for made in objects("rayjob.yaml") if made["kind"] == "RayJob")
    program, verb, config, *_ = job["spec"]["entrypoint"].split()
    shown = subprocess.run(
        [sys.executable, "-m", "raydistill", verb, "--help"], capture_output=True, text=True, cwd=ROOT
    )
    assert program == "raydistill" and shown.returncode == 0 and "--run-dir" in shown.stdout
    assert (ROOT / config).is_file()


def test_served_applications_fit_ray_serves_schema() -> None:
    from ray.serve.schema import ServeDeploySchema

    from raydistill.serve.builders import Served

    service = next(made for made in objects("rayservice.yaml") if made["kind"] == "RayService")
    deployed = ServeDeploySchema.model_validate(yaml.safe_load(service["spec"]["serveConfigV2"]))
    for application in deployed.applications:
        module, _, name = application.import_path.partition(":")
        assert callable(reduce(getattr, name.split("."), import_module(module)))
        Served.model_validate(application.args)
    names = [application.name for application in deployed.applications]
    assert names == [f"{names[1]}-executors", names[1]]


def test_served_applications_call_each_other(tmp_path: Path) -> None:
    """The names under which the file runs the two are those under which the service looks for them."""
    from raydistill.serve.builders import Served, executors
    from raydistill.serve.deployment import Service
    from raydistill.serve.student import find_student

    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "config.json").write_text("{}")
    made = executors(Served(student=str(tmp_path)))
    student = find_student(str(tmp_path))
    [executors_of] = Service([student], 1).executors.values()
    assert executors_of.client.name == f"raydistill-serve-{student.name}-executors"
    assert made._bound_deployment.name == "member"
