"""What the README shows can be taken as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from raydistill.pipelines.cli.app import app
from raydistill.pipelines.run_config import load_config
from tests import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_its_configuration_is_one(tmp_path: Path) -> None:
    [block] = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    file = tmp_path / "mine.yaml"
    file.write_text(block)
    loaded = load_config(file)
    assert loaded.teacher.engine == "openai" and loaded.budget.money == 5


def test_its_first_screen_is_short() -> None:
    assert TEXT.count("\n") <= 150


@pytest.mark.parametrize("link", sorted({*re.findall(r"\]\((?!http)([^)#]+)", TEXT)}))
def test_its_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_its_commands_exist() -> None:
    known = get_command(app).commands  # type: ignore[attr-defined]
    named = {*re.findall(r"^raydistill (\w[\w-]*)", TEXT, re.MULTILINE)}
    assert len(named) >= 4 and named <= known.keys()
    targets = {*re.findall(r"^make ([\w-]+)", TEXT, re.MULTILINE)}
    assert targets and all(f"\n{target}:" in (ROOT / "Makefile").read_text(encoding="utf-8") for target in targets)
