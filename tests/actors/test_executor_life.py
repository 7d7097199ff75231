"""The executor's life: worn, killed and refused zygotes, bad starts, and that no killing makes it lose a program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from raydistill.actors.errors import SandboxError
from raydistill.actors.executor import Executor, Limits, Program, self_test
from raydistill.actors.sandbox.host import supervisor
from raydistill.actors.sandbox.host.supervisor import JailOptions
from raydistill.actors.sandbox.inside.layers import NAMES
from tests import ROOT
from tests.actors.sandbox.attack import children
from tests.actors.test_executor import counting, returning, values_of
from tests.waiting import wait_until

KILLS = 4  # each costs a start of a zygote; endless ones would starve a slow machine of zygotes


def test_a_worn_zygote_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "RECYCLE_FORKS", 10)
    executor = Executor(batch_lane=False)
    first = executor.zygote_pids()
    assert values_of(executor.run(counting(40))) == [n * 3 for n in range(40)]
    assert executor.zygote_pids() != first
    executor.close()


def descendants(pid: int) -> list[int]:
    return [found for child in children(pid) for found in (child, *descendants(child))]


@pytest.mark.parametrize("batch_lane", [True, False])
@pytest.mark.parametrize("victim", ["outer", "zygote", "child"])
def test_killed_processes_cost_no_program(victim: str, batch_lane: bool) -> None:
    executor = Executor(zygotes=2, batch_lane=batch_lane)
    stop = threading.Event()

    def kill_some() -> None:
        for _ in range(KILLS):
            if stop.wait(0.7):
                return
            zygotes = executor.zygote_pids()
            outer = [jail.process.pid for slot in executor._slots for jail in slot.jails.values() if jail.process]
            inner = [child for zygote in zygotes for child in children(zygote)]
            for pid in {"outer": outer, "zygote": zygotes, "child": inner}[victim][:1]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue

    killer = threading.Thread(target=kill_some)
    killer.start()
    programs = counting(1000)
    verdicts = [verdict for _ in range(3) for verdict in executor.run(programs[: 1000 if batch_lane else 300])]
    stop.set()
    killer.join()
    executor.close()
    wrong = [v for n, v in enumerate(verdicts) if v.status != "unknown" and v.value != n % (len(verdicts) // 3) * 3]
    assert not wrong
    assert sum(verdict.status == "unknown" for verdict in verdicts) <= len(verdicts) // 100


def test_a_program_that_somebody_stopped_is_run_again() -> None:
    executor = Executor(Limits(cpu_s=1, wall_s=1), batch_lane=False)
    # long enough to be stopped in its midst, within the wall limit
    slow = "import time\ndef solution():\n    time.sleep(0.6)\n    return 5\n"
    running = executor.submit([Program("p", slow)])
    [zygote] = executor.zygote_pids()
    wait_until(lambda: children(zygote), 10, "a child of the zygote")
    os.kill(children(zygote)[0], signal.SIGSTOP)
    [verdict] = running.result()
    assert (verdict.reason, verdict.value) == ("ok", 5) and executor.status()["retried"] == 1
    executor.close()


def test_nothing_outlives_an_executor_that_is_killed() -> None:
    program = (  # which waits where nobody ends it
        "import time\nfrom raydistill.actors.executor import Executor, Program\n"
        "executor = Executor()\nprint(*executor.zygote_pids(), flush=True)\n"
        "executor.run([Program('p', 'import time\\ndef solution():\\n    time.sleep(60)')])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    zygote = int(process.stdout.readline())
    wait_until(lambda: children(zygote), 60, "a child of the zygote")
    family = [zygote, *descendants(zygote)]
    assert len(family) == 2
    process.kill()
    process.wait()
    wait_until(lambda: not any(map(is_alive, family)), 60, f"the end of {family}")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_below_the_minimum_grade_it_refuses_with_reason_and_remedy() -> None:
    options = JailOptions(python=sys.executable, without=("seccomp",))
    with pytest.raises(SandboxError, match=r"grade C here, B- is required.*seccomp.*minimum_grade"):
        Executor(options=options)
    tolerant = Executor(minimum_grade="C", options=options)
    assert tolerant.run([returning("1")])[0].grade == "C" and tolerant.status()["open_acts"]
    tolerant.close()


def test_without_any_layer_the_grade_says_so() -> None:
    bare = Executor(minimum_grade="D", options=JailOptions(python=sys.executable, without=NAMES))
    assert bare.grade == "D" and "read a file of the host" in bare.status()["open_acts"]
    bare.close()


def test_an_interpreter_that_does_not_start_is_one_clear_error() -> None:
    with pytest.raises(SandboxError, match="does not start|did not start"):
        Executor(python="/nonexistent/python")
    with pytest.raises(SandboxError, match="did not start"):
        Executor(python="/bin/true")


def test_self_test_reports_a_working_sandbox() -> None:
    result = self_test()
    assert result["works"] and not result["open_acts"]
    done = subprocess.run(
        [sys.executable, "-m", "raydistill.actors.executor", "--self-test"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0 and f"grade {' ' * 36} {result['grade']}" in done.stdout
