"""Programs in, verdicts out: the executor, a plain class that others spawn as a Ray actor.

    calls take turns: the one that has used least is served, a program (or a quarter of a second) at a time

    programs -> by words in the text: lean, standard, whole or rich zygote
             -> lean: a screened batch shares a child -> deferred, doubtful and audited ones again, isolated
             -> others: one child each (isolated lane)
             -> whatever is lost or ours to blame: again, alone, in a fresh zygote, twice
             -> verdicts, in the order of the programs

Every program gets exactly one verdict, whatever the programs do. `unknown` is never the program's fault.
`python -m raydistill.actors.executor --self-test` shows which layers hold on this machine.

    executor = Executor()
    [verdict] = executor.run([Program("q1", "def solution():\\n    return 6 * 7")])
    assert (verdict.status, verdict.value) == ("passed", 42)
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread
from typing import Any

from raydistill.actors.errors import SandboxError
from raydistill.actors.sandbox.host.dispatch import Dispatcher
from raydistill.actors.sandbox.host.isolation import GRADES, grade_of, is_below, open_acts, refusal
from raydistill.actors.sandbox.host.lane import BatchLane
from raydistill.actors.sandbox.host.program import Limits, Program
from raydistill.actors.sandbox.host.schedule import Schedule
from raydistill.actors.sandbox.host.supervisor import JailOptions
from raydistill.actors.sandbox.host.targets import probe_targets
from raydistill.actors.sandbox.host.verdict import Verdict
from raydistill.actors.sandbox.host.zygotes import ZygoteSlot
from raydistill.actors.sandbox.profiles import LEAN

__all__ = ["SANDBOX_VERSION", "Executor", "Limits", "PooledExecutor", "Program", "Verdict", "self_test"]

SANDBOX_VERSION = "2"
"""Part of the keys of stored verdicts: raise it when the same program may be judged in another way."""

DEFAULT_LIMITS = Limits()
HOSTILE = "def solution():\n    return open('/etc/passwd').read()\n"


class Executor:
    """Runs programs in locked-down zygotes; see the module's docstring for the flow."""

    def __init__(
        self,
        limits: Limits = DEFAULT_LIMITS,
        *,
        zygotes: int = 1,
        minimum_grade: str = "B-",
        batch_lane: bool = True,
        python: str | None = None,
        options: JailOptions | None = None,
    ) -> None:
        """Start `zygotes` warm zygotes. SandboxError where this machine confines less than `minimum_grade`.

        `python` is the interpreter that programs run in (this one by default). `options` is for tests and
        diagnosis.
        """
        options = options or JailOptions(python=python or sys.executable)
        self._schedule = Schedule()
        self._starters = ThreadPoolExecutor(max_workers=zygotes + 1, thread_name_prefix="zygotes")
        self._slots = [ZygoteSlot(options, self._starters, self._schedule.wake) for _ in range(zygotes)]
        self._workers: list[Thread] = []
        with probe_targets() as targets:
            self.report = self._slots[0].start_probed(targets)
        self.grade = grade_of(self.report)
        if is_below(self.grade, minimum_grade):
            self.close()
            raise SandboxError(refusal(self.report, minimum_grade))
        for slot in self._slots:
            slot.layers = self.report["layers"]
        list(self._starters.map(lambda slot: slot.start(LEAN.name), self._slots[1:]))
        self._lane = BatchLane(batch_lane and self.report["screen"])
        self._dispatcher = Dispatcher(limits, zygotes, self.grade, self._lane, self._schedule)
        for slot in self._slots:  # daemons: an executor that nobody closes must not keep its process alive
            self._workers.append(Thread(target=self._dispatcher.work, args=(slot,), name="executor", daemon=True))
            self._workers[-1].start()

    def submit(self, programs: Sequence[Program]) -> Future[list[Verdict]]:
        """One verdict per program, in order, once all are done. Calls take turns: none waits for another to end.

        Cancelling what it gives drops the programs that wait, and kills those that run within half a second.
        """
        round_ = self._dispatcher.plan(programs)
        self._schedule.add(round_)
        return round_.result

    def run(self, programs: Sequence[Program]) -> list[Verdict]:
        """As `submit`, but waits. May be called from several threads."""
        return self.submit(programs).result()

    def status(self) -> dict[str, Any]:
        """What runs here, how well it is confined, and what it has done so far."""
        return {
            "grade": self.grade,
            "layers": self.report["layers"],
            "open_acts": open_acts(self.report),
            "python": self.report["python"],
            "executable": self.report["executable"],
            "zygotes": len(self._slots),
            "batch_lane": self._lane.is_on,
            "alarm": self._lane.alarm,
            **self._dispatcher.counts,
        }

    def zygote_pids(self) -> list[int]:
        """The process of each running zygote that programs' children hang from, as this machine numbers it."""
        return [pid for slot in self._slots for jail in slot.jails.values() for pid in jail.zygote_pids()]

    def close(self) -> None:
        """End the zygotes; this executor runs nothing afterwards."""
        self._schedule.close()
        for worker in self._workers:
            worker.join()
        self._starters.shutdown(wait=True)
        for slot in self._slots:
            slot.stop()


class PooledExecutor:
    """An executor as the member of a pool: a call waits without a thread, so that any number of them take turns."""

    def __init__(self, limits: Limits, minimum_grade: str, zygotes: int) -> None:
        self._executor = Executor(limits, minimum_grade=minimum_grade, zygotes=zygotes)
        self.status, self.zygote_pids = self._executor.status, self._executor.zygote_pids

    async def run(self, programs: Sequence[Program]) -> list[Verdict]:
        return await asyncio.wrap_future(self._executor.submit(programs))


def self_test(python: str | None = None, options: JailOptions | None = None) -> dict[str, Any]:
    """What confines programs on this machine: grade, layers, every probe, and one program run in each lane."""
    executor = Executor(minimum_grade=GRADES[-1], python=python, options=options)
    try:
        programs = [Program(f"self-test {n}", f"def solution():\n    return {n} * 7\n") for n in range(3)]
        answers = [verdict.value for verdict in executor.run([*programs, Program("hostile", HOSTILE)])]
        works = answers == [0, 7, 14, None]
        return {"works": works, "acts": executor.report["acts"], **executor.status()}
    finally:
        executor.close()


def describe(result: Mapping[str, Any]) -> str:
    """The self-test as a table for people."""
    rows = [("grade", result["grade"]), ("programs run", "correctly" if result["works"] else "WRONGLY")]
    rows += [("interpreter", f"{result['executable']} ({result['python']})")]
    rows += [("batch lane", "on" if result["batch_lane"] else "off")]
    rows += [(f"layer: {name}", state) for name, state in result["layers"].items()]
    rows += [(f"act: {name}", "OPEN" if name in result["open_acts"] else how) for name, how in result["acts"].items()]
    return "\n".join(f"{name:<42} {state}" for name, state in rows)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m raydistill.actors.executor", description="The sandbox of this machine."
    )
    parser.add_argument("--self-test", action="store_true", required=True, help="try every layer and print what holds")
    parser.add_argument("--python", help="the interpreter that programs run in (this one by default)")
    arguments = parser.parse_args()
    try:
        result = self_test(arguments.python)
    except SandboxError as error:
        print(error, file=sys.stderr)
        return 1
    print(describe(result))
    return 0 if result["works"] else 1


if __name__ == "__main__":
    sys.exit(main())
