"""Configuration files: every shipped one is valid, and every mistake is one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from raydistill.actors.errors import UsageError
from raydistill.pipelines.run_config import load_config
from tests import ROOT

MINIMAL = "questions: {task: gsm8k, path: x.jsonl}\nteacher: {model: m}\n"


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_configuration_is_valid(path: Path) -> None:
    load_config(path)


@pytest.fixture
def minimal(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(MINIMAL, encoding="utf-8")
    return path


def test_overrides_are_yaml_and_reach_into_sections(minimal: Path) -> None:
    config = load_config(minimal, ["teacher.temperature=0.7", "teacher.replicas=[1, 4]", "train.student=s"])
    assert config.teacher.temperature == 0.7 and config.teacher.replicas == (1, 4)
    assert config.train is not None and config.train.student == "s"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["teacher.temprature=1"], "teacher.temprature: unknown key"),
        (["teacher.temperature=-1"], r"teacher.temperature: .*greater than or equal to 0 \(got -1\)"),
        (["teacher.replicas=[3, 1]"], "replicas must be"),
        (["teacher"], "expected key.path=value"),
        (["teacher.model.x=1"], "model is not a group"),
        (["train.epochs=1"], "train.student: Field required"),
    ],
)
def test_mistakes_are_named(minimal: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_config(minimal, overrides)


@pytest.mark.parametrize(
    ("text", "message"), [(None, "no such configuration"), ("a: [", "not valid YAML"), ("- 1", "expected a mapping")]
)
def test_files_that_are_no_configuration(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "bad.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        load_config(path)
