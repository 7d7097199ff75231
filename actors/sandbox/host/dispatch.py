"""From programs to verdicts: which lane each takes, what is run again, and in which zygote.

Threat model: a verdict must never rest on another program's good behaviour. Therefore anything that a batch
child says beyond an ordinary value or exception is run again in isolation; a random share of the ordinary
ones is too, and one proven difference switches the batch lane off for good. What is lost, or ours to blame,
is run again alone, so that a program that takes zygotes down with it exhausts its own attempts and nobody
else's.
"""

import queue
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...errors import SandboxError
from .. import wire
from ..profiles import LEAN, STANDARD, profile_for
from .program import Limits, Program, pack
from .schedule import ProgramJob, Round
from .supervisor import Jail, JailOptions, ZygoteLost
from .verdict import FAILED, UNKNOWN, Verdict, agree, is_provisional, judge, lost

ATTEMPTS = 3
NOT_LOADED = "exception:ModuleNotFoundError"
BATCH_PROGRAMS = 1024
JOB_BYTES = 1 << 20
AUDITED_PER_BATCH = 1  # of every shared process one program is run again; of a full batch, a twentieth of its cost
START_PAUSES_S = (0.1, 0.5)  # before the second and the third try to start a zygote


@dataclass(slots=True)
class ZygoteSlot:
    """The zygotes of one processor core: a lean one, and the others from the first program that needs them."""

    options: JailOptions
    layers: dict[str, str] = field(default_factory=dict)
    """what the probed zygote had; one that confines less is not used"""
    jails: dict[str, Jail] = field(default_factory=dict)

    def jail(self, profile: str, fresh: bool) -> Jail:
        """A running zygote with this profile, started anew if it was lost, is worn, or `fresh` is asked for."""
        jail = self.jails.setdefault(profile, Jail(replace(self.options, profile=profile)))
        if fresh or jail.process is None or jail.is_worn():
            self._start(jail)
        return jail

    def _start(self, jail: Jail) -> None:
        for pause in START_PAUSES_S:
            try:
                report = jail.start()
                break
            except SandboxError:
                time.sleep(pause)  # what kept it from starting, as a rule memory or processes, may be given back
        else:
            report = jail.start()
        if report["layers"] != self.layers:
            jail.stop()
            raise SandboxError(f"a new zygote has other layers than the one that was probed: {report['layers']}")

    def start_probed(self, probe: dict[str, Any]) -> dict[str, Any]:
        """Start the first lean zygote and let it try every forbidden act."""
        jail = self.jails[LEAN.name] = Jail(self.options)
        report = jail.start(probe)
        self.layers = report["layers"]
        return report

    def stop(self) -> None:
        for jail in self.jails.values():
            jail.stop()


class Dispatcher:
    """Plans rounds and works on them; shared by all threads of an executor."""

    def __init__(self, limits: Limits, slots: Sequence[ZygoteSlot], grade: str, batch_lane: bool) -> None:
        self.limits = limits
        self.grade = grade
        self.batch_lane = batch_lane
        self.alarm = ""
        self.counts = dict.fromkeys(("programs", "isolated", "batched", "audited", "retried", "zygotes_lost"), 0)
        self._lock = threading.Lock()
        self._random = random.Random()
        self._free: queue.Queue[ZygoteSlot] = queue.Queue()
        for slot in slots:
            self._free.put(slot)
        self._size = len(slots)

    def plan(self, programs: Sequence[Program]) -> Round:
        """Pack every program and sort it into jobs; one that is too large has its verdict at once."""
        round_ = Round(programs, [pack(program) for program in programs])
        self._count("programs", len(programs))
        by_profile: dict[str, list[int]] = {}
        for index, program in enumerate(programs):
            if len(program.source) > self.limits.source_bytes or len(round_.tasks[index]) > JOB_BYTES:
                round_.verdicts[index] = Verdict(program.id, FAILED, "too_large", grade=self.grade)
            else:
                by_profile.setdefault(profile_for(program.source).name, []).append(index)
        for profile, indices in by_profile.items():
            if self.batch_lane and profile == LEAN.name and len(indices) > 1:
                self._add_batches(round_, indices)
            else:
                round_.add_isolated(profile, indices)
        return round_

    def work(self, round_: Round) -> None:
        """Take jobs until the round is done; several threads may work on one round."""
        for job in round_.jobs():
            slot = self._free.get()
            try:
                self._run(round_, job, slot)
            finally:
                self._free.put(slot)

    def _add_batches(self, round_: Round, indices: list[int]) -> None:
        most = min(BATCH_PROGRAMS, -(-len(indices) // self._size))
        batch: list[int] = []
        size = 0
        for index in indices:
            size += len(round_.tasks[index])
            if batch and (len(batch) >= most or size > JOB_BYTES):
                round_.add(ProgramJob("batch", LEAN.name, tuple(batch)))
                batch, size = [], len(round_.tasks[index])
            batch.append(index)
        round_.add(ProgramJob("batch", LEAN.name, tuple(batch)))

    def _run(self, round_: Round, job: ProgramJob, slot: ZygoteSlot) -> None:
        if job.lane == "batch" and not self.batch_lane:  # switched off since this job was planned
            round_.add_isolated(job.profile, job.indices)
            return
        try:
            jail = slot.jail(job.profile, fresh=job.attempt > 0)
        except SandboxError as error:
            self._give_up(round_, job, str(error))
            return
        verdicts: list[Verdict] = []
        try:
            for verdict in self._verdicts(round_, job, jail):
                verdicts.append(verdict)
            if any(verdict.reason == "protocol" for verdict in verdicts):
                jail.stop()  # whoever writes rubbish may have corrupted more: the next job gets a fresh zygote
        except ZygoteLost as error:
            jail.stop()
            self._count("zygotes_lost", 1)
            self._after_loss(round_, job, job.indices[len(verdicts) :], str(error))
        self._count("batched" if job.lane == "batch" else "isolated", len(verdicts))
        self._settle(round_, job, verdicts)

    def _after_loss(self, round_: Round, job: ProgramJob, unfinished: tuple[int, ...], why: str) -> None:
        """Run the unfinished again; in isolation only the first of them can have had to do with the loss."""
        if job.lane == "batch":
            round_.add_isolated(job.profile, unfinished)
            return
        suspect, rest = unfinished[0], unfinished[1:]
        self._again(round_, job, suspect, lost(round_.programs[suspect].id, why, self.grade))
        if rest:
            round_.add(replace(job, indices=rest))

    def _give_up(self, round_: Round, job: ProgramJob, why: str) -> None:
        """No zygote can be started, which says nothing about any program."""
        for index in job.indices:
            if not job.audits:
                round_.verdicts[index] = lost(round_.programs[index].id, why, self.grade)

    def _verdicts(self, round_: Round, job: ProgramJob, jail: Jail) -> Iterator[Verdict]:
        """In the order of the job's programs, as they arrive."""
        limits = self.limits.for_job(job.profile, job.attempt)
        tasks = [round_.tasks[index] for index in job.indices]
        if job.lane == "batch":
            packed = [wire.pack_job(tasks, wire.BATCH, limits)]
        else:
            packed = [wire.pack_job([task], wire.ISOLATED, limits) for task in tasks]
        for index, record in zip(job.indices, jail.run(packed, len(tasks)), strict=True):
            program = round_.programs[index]
            mode = wire.MODES[program.mode]
            yield judge(program.id, record, mode=mode, lane=job.lane, grade=self.grade, limits=limits)

    def _settle(self, round_: Round, job: ProgramJob, verdicts: list[Verdict]) -> None:
        isolate: list[int] = []
        for index, verdict in zip(job.indices, verdicts, strict=False):
            if job.lane == "batch" and is_provisional(verdict):
                isolate.append(index)
            elif verdict.reason == NOT_LOADED and job.profile == LEAN.name and not job.audits:
                round_.add_isolated(STANDARD.name, [index])  # its text did not show what it imports
            elif verdict.status == UNKNOWN:
                self._again(round_, job, index, verdict)
            elif job.audits:
                self._compare(round_, job, index, verdict)
            else:
                round_.verdicts[index] = verdict
        round_.add_isolated(job.profile, isolate)
        if job.lane == "batch":
            kept = [index for index in job.indices if round_.verdicts[index] is not None]
            audited = self._random.sample(kept, min(len(kept), AUDITED_PER_BATCH))
            self._count("audited", len(audited))
            round_.add_isolated(job.profile, audited, audits=tuple(kept))

    def _again(self, round_: Round, job: ProgramJob, index: int, verdict: Verdict) -> None:
        """Once more, alone and in a fresh zygote, until the attempts are used up."""
        if job.attempt + 1 < ATTEMPTS:
            self._count("retried", 1)
            round_.add(replace(job, lane="isolated", indices=(index,), attempt=job.attempt + 1))
        elif not job.audits:
            round_.verdicts[index] = verdict

    def _compare(self, round_: Round, job: ProgramJob, index: int, isolated: Verdict) -> None:
        """Hold an audited program's isolated verdict against the batch's; a proven difference raises the alarm.

        A difference is proven when a second isolated run confirms the first: else the program is not deterministic.
        """
        earlier = round_.verdicts[index]
        assert earlier is not None
        same = agree(earlier, isolated)
        if not job.confirms and not same:
            round_.verdicts[index] = isolated
            round_.add(replace(job, indices=(index,), attempt=0, confirms=True))
        elif job.confirms and same:
            self.batch_lane = False
            self.alarm = f"program {isolated.id} had another verdict in a batch than alone; the batch lane is off"
            round_.add_isolated(job.profile, job.audits)

    def _count(self, name: str, number: int) -> None:
        with self._lock:
            self.counts[name] += number
