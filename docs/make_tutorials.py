"""Cuts into docs/tutorials/*.md what their commands say: each ```console block is run, in order, in one shell.

    python docs/make_tutorials.py own-task         # run it in an empty folder, and write what came
    python docs/make_tutorials.py own-task --check # say where what came differs from the page, and end with 1

A line that begins with "$ " is a command (with "> " it goes on), what follows is what it said. Numbers that depend on
the machine are masked before two outputs are compared (`steady`). Where RAYDISTILL_MODELS names a folder, its models
stand for those that a page fetches into `models`.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "tutorials"
PACKAGE = Path(__file__).resolve().parent.parent  # of a checkout, which stands for the installed one
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "\x1e"  # in front of what the shell says of a command, which no command says itself
MOST_S = 3600  # of a page
LONGEST = 200  # characters of a line that are shown
MASKS = (
    (re.compile(r"[━─┏┓┡┩┳╇│┃└┴┘ ]{3,}"), " "),  # tables, as wide as their numbers
    (re.compile(r"/\S*/(?=runs/|[\w.-]+\.(?:jsonl|yaml)\b|raydistill\b)"), ""),  # where it was
    (re.compile(r"\d[\d,.]*(?:e-?\d+)?"), "0"),
    (re.compile(r"\b0 (?:KB|MB|GB)\b"), "0 B"),
    (re.compile(r"^(.{60}).* \.\.\.$", re.MULTILINE), r"\1 ..."),  # lines that were cut, with paths of any length
)
BAR = re.compile(r"(.+): [\d,]+ of [\d,]+\b")
PROGRESS = re.compile(r"^.+: 0 of 0\b.*\n", re.MULTILINE)  # lines of bars, as many as there was time for
MACHINE = re.compile(r"^(?:ok|warn) +(?:memory|disk|versions)\b.*\n(?: +-> .*\n)?|^0 ok.*\n", re.MULTILINE)
"""What the doctor says of a machine, and how much of it is well."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a page and what the page says that it says."""

    command: str
    output: str


def steps(page: str) -> list[Step]:
    """The commands of a page, in order."""
    return [step for block in BLOCK.findall(page) for step in _steps(block)]


def _steps(block: str) -> Iterator[Step]:
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        last = next(place for place, line in enumerate(lines) if not line.endswith("\\\n"))
        command = "".join(line.removeprefix("> ") for line in lines[: last + 1])
        yield Step(command.rstrip("\n"), "".join(lines[last + 1 :]))


def play(commands: list[str], folder: Path, models: str | Path | None = None) -> list[str]:
    """What each command says, in one shell in `folder` with these `models`. Raises RuntimeError where one fails."""
    variables = {**os.environ, "COLUMNS": "120", "LC_ALL": "C.UTF-8"}
    there = variables.pop("RAYDISTILL_MODELS", None)
    places = {str(folder): "/home/me/mine", str(PACKAGE): "/home/me/venv/lib/python3.11/site-packages/raydistill"}
    if models := models or there:
        (folder / "models").symlink_to(Path(models).resolve())
        places = {str(Path(models).resolve()): "/home/me/mine/models", **places}
    ended = f"code=$?; printf '{MARK}%s' $code; [ $code = 0 ] || exit\n"
    script = "trap 'kill $(jobs -p) 2> /dev/null' EXIT\n"  # servers of a page that fails
    script += "".join(f"printf '{MARK}'\n{command}\n{ended}" for command in commands)
    variables["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = ["timeout", f"{MOST_S}", "bash", "-c", script]
    done = subprocess.run(
        command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    told = done.stdout.split(MARK)[1:]
    for command, said, code in zip(commands, told[::2], told[1::2], strict=False):
        if code.strip() != "0":
            raise RuntimeError(f"{command}: exit code {code}: {said[-2000:]}")
    return [shown(elsewhere(said, places)) for said in told[::2]]


def elsewhere(said: str, places: Mapping[str, str]) -> str:
    """What was said, with where it was run replaced by where a reader may be."""
    for here, there in places.items():
        said = said.replace(here, there)
    return said


def shown(said: str) -> str:
    """What a page shows: lines that are not too long, and the last state of each bar."""
    lines = [line.rsplit("\r", 1)[-1].rstrip() for line in said.splitlines()]
    bars = [BAR.match(line) for line in lines]
    again = [one and other and one[1] == other[1] for one, other in zip(bars, [*bars[1:], None], strict=False)]
    last = [line for line, more in zip(lines, again, strict=True) if not more]
    kept = [line if len(line) <= LONGEST else f"{line[:LONGEST]} ..." for line in last]
    return "".join(f"{line}\n" for line in kept).strip("\n") + "\n" if said.strip() else ""


def steady(output: str) -> str:
    """An output with what depends on the machine masked."""
    for pattern, instead in MASKS:
        output = pattern.sub(instead, output)
    return MACHINE.sub("", PROGRESS.sub("", output))


def filled(page: str, said: list[str]) -> str:
    """The page with these outputs."""
    left = iter(said)

    def block(match: re.Match[str]) -> str:
        commands = [step.command.replace("\n", "\n> ") for step in _steps(match[1])]
        return "```console\n" + "".join(f"$ {command}\n{next(left)}" for command in commands) + "```"

    return BLOCK.sub(block, page)


def differences(page: str, said: list[str]) -> list[str]:
    """Lines of a diff between what the page says, as far as it was run, and what came."""
    told = [f"$ {step.command}\n{steady(step.output)}" for step in steps(page)[: len(said)]]
    came = [f"$ {step.command}\n{steady(one)}" for step, one in zip(steps(page), said, strict=False)]
    return list(
        difflib.unified_diff("".join(told).splitlines(), "".join(came).splitlines(), "page", "run", lineterm="")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(path.stem for path in FOLDER.glob("*.md")))
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    path = FOLDER / f"{asked.name}.md"
    page = path.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        said = play([step.command for step in steps(page)], Path(folder))
    if not asked.check:
        path.write_text(filled(page, said), encoding="utf-8")
    elif found := differences(page, said):
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
