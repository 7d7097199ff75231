"""Commands on pages are those that raydistill and Ray have: options, settings and files, also where they need a GPU."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from raydistill.pipelines.cli.app import app
from raydistill.pipelines.run_config import load_config
from tests import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "tutorials").glob("*.md"))]
BLOCK = re.compile(r"^```(?:console|bash|sh)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SETTINGS = re.compile(r"\$\(grep -v [\"']\^#[\"'] (\S+)\)")  # of a machine, in a file of configs/real
INNER = re.compile(r"\braydistill [^&|;']+")
ABSTRACT = re.compile(r"\b(?:RUN|CONFIG|FILE|STUDENT|IN\.JSONL|NAME|OWNER)\b|\.\.\.")  # stands for what a reader has
TAKES_CONFIG = ("run", "plan", "doctor", "synth", "train", "eval", "export-requests")


def lines_of(page: Path) -> Iterator[str]:
    """The commands of a page's blocks, each on one line, with the settings that they take from files."""
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        joined = re.sub(r"\\\n(?:> |\s*)", "", block)
        for line in joined.splitlines():
            command = line.removeprefix("$ ").strip()
            if command.startswith(("raydistill ", "ray ")) and not ABSTRACT.search(command.partition("#")[0]):
                yield SETTINGS.sub(settings_in, command)


def settings_in(match: re.Match[str]) -> str:
    lines = (ROOT / match[1]).read_text(encoding="utf-8").splitlines()
    return " ".join(line for line in lines if line and not line.startswith("#"))


def words(command: str) -> list[str]:
    """A command's words, as a shell parts them, up to where another one begins."""
    found = []
    for word in shlex.split(command, comments=True):
        if word in ("|", "||", "&&", "&", ">", "2>&1", ";"):
            break
        found.append(word)
    return found


def taken(command: Any, arguments: list[str]) -> None:
    """Take a command's arguments as it would, without running it. Raises the command's own exception."""
    name = ""
    while hasattr(command, "commands"):
        name, *arguments = arguments
        command = command.commands[name]
    command.make_context(name, arguments)


def check(command: str) -> None:
    program, *arguments = words(command)
    if program == "raydistill":
        taken(get_command(app), arguments)
        return check_config(arguments)
    from ray.scripts.scripts import cli

    taken(cli, arguments)
    for inner in INNER.findall(arguments[-1]) if "bash" in arguments else ():
        check(inner.strip())


def check_config(arguments: list[str]) -> None:
    """A shipped configuration takes the settings that the line has."""
    name, *rest = arguments
    if name in TAKES_CONFIG and rest and (rest[0].startswith(("configs/", "real/", "demo"))):
        settings = [word for word in rest[1:] if re.match(r"[\w.]+=", word)]
        load_config(rest[0], settings)


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_are_taken(page: Path) -> None:
    wrong = {}
    for command in lines_of(page):
        try:
            check(command)
        except Exception as error:
            wrong[command] = error
    assert not wrong


def test_a_wrong_option_and_a_wrong_setting_are_found() -> None:
    for command in ("raydistill run demo --fast", "raydistill run demo train.epoch=3", "ray up --now cluster.yaml"):
        with pytest.raises(Exception, match="No such option|epoch"):
            check(command)
    assert len([*lines_of(ROOT / "docs" / "tutorials" / "cluster.md")]) > 8
