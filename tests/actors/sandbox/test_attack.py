"""The red team: every hostile, broken and honest program of `data/redteam.jsonl`, and the host after each of them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from raydistill.actors.executor import Executor, Program
from raydistill.actors.sandbox.host.supervisor import JailOptions
from tests import ROOT
from tests.actors.sandbox.attack import DANGEROUS_MODULES, HONEST, LIMITS, attack, host, load

NOBODY = 65534
NAMESPACES, LANDLOCK = ("namespaces", "empty_root"), ("landlock",)


def test_every_program_ends_as_expected_and_the_host_is_untouched() -> None:
    options = JailOptions(python=sys.executable, extra_modules=DANGEROUS_MODULES)
    executor = Executor(LIMITS, options=options)
    with host() as target:
        problems = attack(executor, target, load(slow=False))
    executor.close()
    assert not problems


def test_the_data_file_covers_every_category() -> None:
    rows = load(True, "redteam")
    assert len(rows) >= 150
    assert {row["category"] for row in rows} == set(
        """control cpu memory process signals exit filesystem network privilege leak channel object escape
        broken""".split()  # noqa: SIM905
    )


def test_hostile_programs_change_no_neighbour_in_the_batch_lane() -> None:
    hostile = [row for row in load(slow=False) if row["category"] not in ("cpu", "memory")]
    executor = Executor(LIMITS, options=JailOptions(python=sys.executable, extra_modules=DANGEROUS_MODULES))
    with host() as target:
        programs = [program for row in hostile for program in (target.program(row), HONEST)]
        verdicts = executor.run(programs)
    counts = executor.status()
    executor.close()
    assert all((verdict.reason, verdict.value) == ("ok", 121) for verdict in verdicts[1::2])
    assert counts["batched"] >= len(hostile) and not counts["alarm"]


def unprivileged_python() -> str | None:
    """An interpreter that uid 65534 may start, with this project readable to it; None where there is none."""
    for candidate in (sys.executable, "/usr/bin/python3", "/usr/bin/python3.11", "/usr/bin/python3.12"):
        try:
            command = [candidate, "-c", "import raydistill.actors.executor, tests.actors.sandbox.attack"]
            subprocess.run(command, user=NOBODY, group=NOBODY, extra_groups=[], cwd=ROOT, check=True)
        except (OSError, subprocess.SubprocessError):
            continue
        return candidate
    return None


def report(*arguments: str, python: str = sys.executable, as_nobody: bool = False) -> dict:
    command = [python, "-B", "-m", "tests.actors.sandbox.attack", "--slow", *arguments]
    identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if as_nobody else {}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, **identity)
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("without", [(), NAMESPACES, LANDLOCK, (*NAMESPACES, *LANDLOCK)])
def test_unprivileged_user(without: tuple[str, ...]) -> None:
    python = unprivileged_python()
    if python is None:
        pytest.skip("needs root, and an interpreter that uid 65534 can start")
    result = report("--without", *without, python=python, as_nobody=True)
    assert result["uid"] == NOBODY and not result["problems"]
    assert result["grade"] == {0: "A", 1: "B-", 2: "B", 3: "B-"}[len(without)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("without", "grade"),
    [
        (("empty_root",), "B"),
        (("identity",), "B"),
        (("rlimits",), "A"),
        (("child_filter",), "A"),
        (LANDLOCK, "B-"),
        (NAMESPACES, "B"),
        ((*NAMESPACES, *LANDLOCK), "B-"),
    ],
)
def test_one_layer_less_still_holds(without: tuple[str, ...], grade: str) -> None:
    result = report("--without", *without)
    assert (result["grade"], result["problems"]) == (grade, [])


@pytest.mark.slow
def test_without_seccomp_the_host_is_still_out_of_reach() -> None:
    result = report("--without", "seccomp")
    assert result["grade"] == "C"
    assert not [problem for problem in result["problems"] if ", expected [" not in problem]


@pytest.mark.slow
def test_lean_profile_without_the_dangerous_modules() -> None:
    problems = report("--lean")["problems"]
    assert not [problem for problem in problems if "ModuleNotFoundError" not in problem]


def test_programs_of_one_call_cannot_see_each_other() -> None:
    """In the isolated lane a child holds its own text only, even while others of the same call wait."""
    spy = (
        "import sys\ndef solution():\n    frame, texts = sys._getframe(), ''\n    while frame:\n"
        "        texts += repr(frame.f_locals)\n        frame = frame.f_back\n"
        "    return 'marker-of-a-' + 'mate' in texts\n"
    )
    mates = [Program(f"mate {n}", "def solution():\n    return 'marker-of-a-mate'") for n in range(5)]
    executor = Executor(LIMITS, batch_lane=False)
    verdicts = executor.run([mates[0], Program("spy", spy), *mates[1:]])
    executor.close()
    assert verdicts[1].value is False
