"""What comes with the package is found by name from anywhere, and never instead of a file that is here."""

from __future__ import annotations

from pathlib import Path

import pytest

from raydistill.actors.errors import UsageError
from raydistill.demo.demos import DEMOS, find_demo
from raydistill.pipelines.config.shipped import HOME, about, configurations, find_configuration, shipped
from raydistill.pipelines.run_config import load_config
from tests.pipelines.cli.test_app import raydistill


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_configuration_says_what_it_is_for() -> None:
    told = {name: about(file) for name, file in configurations().items()}
    assert {"demo", "real/gsm8k", "recorded-programs"} <= told.keys() and all(told.values())
    assert not [name for name in told if name.startswith(("targets/", "datastores/"))]


@pytest.mark.parametrize("name", ["demo", "demo-rebase", "configs/demo.yaml"])
def test_a_shipped_run_names_models_that_are_there(name: str) -> None:
    config = load_config(name)
    assert config.train and Path(config.teacher.model).is_dir() and Path(config.train.student).is_dir()
    assert config.run_dir.startswith("runs/")


def test_what_is_here_comes_first(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("{}\n")
    assert find_configuration("demo") == Path("demo")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "demo.yaml").write_text("{}\n")
    assert shipped("configs/demo.yaml") == "configs/demo.yaml"
    assert shipped("configs/demo-real.yaml") == str(HOME / "configs" / "demo-real.yaml")
    assert shipped("demos/x") == "demos/x" and shipped("Qwen/Qwen3-4B") == "Qwen/Qwen3-4B"


def test_every_demo_is_a_shipped_configuration() -> None:
    assert {demo.configuration for demo in DEMOS.values()} <= configurations().keys()
    assert find_demo(None) is DEMOS["pad"]
    with pytest.raises(UsageError, match="expected one of: pad, mcc-kd"):
        find_demo("nope")


def test_configurations_are_listed_and_printed(tmp_path: Path) -> None:
    listed = raydistill("configs", cwd=tmp_path).stdout
    assert [line.split()[0] for line in listed.splitlines()] == [*configurations()]
    assert raydistill("configs", "demo", cwd=tmp_path).stdout == configurations()["demo"].read_text(encoding="utf-8")
    wrong = raydistill("configs", "nope", cwd=tmp_path)
    assert wrong.returncode == 2 and "no configuration 'nope' is shipped; expected one of: " in wrong.stderr
