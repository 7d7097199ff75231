"""From programs to verdicts: which lane each takes, what is run again, and in which zygote.

Threat model: a verdict must never rest on another program's good behaviour. Therefore anything that a batch
child says beyond an ordinary value or exception is run again in isolation; a random share of the ordinary
ones is too, and a proven difference has the whole batch run again. What is lost, or ours to blame, is run
again alone, so that a program that takes zygotes down with it exhausts its own attempts and nobody else's.
"""

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from ...errors import SandboxError
from .. import wire
from ..profiles import LEAN, PROFILES, profile_for
from .lane import BatchLane
from .program import Limits, Program, pack
from .schedule import ProgramJob, Round, Schedule
from .supervisor import Jail, ZygoteLost
from .verdict import FAILED, PASSED, UNKNOWN, Verdict, agree, is_not_loaded, is_provisional, judge, lost
from .zygotes import ZygoteSlot

ATTEMPTS = 3
BATCH_PROGRAMS = 1024
JOB_BYTES = 1 << 20
AUDITED_PER_BATCH = 1  # of every shared process one program is run again; of a full batch, a twentieth of its cost
CONFIRMATIONS = 2  # further isolated runs of an audited program that came out otherwise than in its batch


class Dispatcher:
    """Plans rounds and works on them; shared by all threads of an executor, of which each has a zygote slot."""

    def __init__(self, limits: Limits, slots: int, grade: str, lane: BatchLane, schedule: Schedule) -> None:
        self.limits = limits
        self.grade = grade
        self.lane = lane
        self.counts = dict.fromkeys(("programs", "isolated", "batched", "audited", "retried", "zygotes_lost"), 0)
        self._schedule = schedule
        self._lock = threading.Lock()
        self._random = random.Random()
        self._slots = slots

    def plan(self, programs: Sequence[Program]) -> Round:
        """Pack every program and sort it into jobs; one that is too large has its verdict at once."""
        round_ = Round(programs, [pack(program) for program in programs], self._schedule.lock)
        self._count("programs", len(programs))
        by_profile: dict[str, list[int]] = {}
        for index, program in enumerate(programs):
            if program.source_bytes > self.limits.source_bytes or len(round_.tasks[index]) > JOB_BYTES:
                round_.verdicts[index] = Verdict(program.id, FAILED, "too_large", grade=self.grade)
            else:
                by_profile.setdefault(profile_for(program.source).name, []).append(index)
        for profile, indices in by_profile.items():
            if self.lane.is_on and profile == LEAN.name and len(indices) > 1:
                self._add_batches(round_, indices)
            else:
                round_.add_isolated(profile, indices)
        return round_

    def work(self, slot: ZygoteSlot) -> None:
        """Take jobs for the zygotes of `slot` until the schedule is closed."""
        while taken := self._schedule.take(slot.is_ready):
            round_, job = taken
            started, fault = time.monotonic(), None
            try:
                self._run(round_, job, slot)
            except Exception as error:  # a fault of ours: whoever waits for the round is told
                fault = error
            self._schedule.done(round_, time.monotonic() - started, fault)

    def _add_batches(self, round_: Round, indices: list[int]) -> None:
        most = min(BATCH_PROGRAMS, -(-len(indices) // self._slots))
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
        if job.lane == "batch" and not self.lane.is_on:  # switched off since this job was planned
            round_.add_isolated(job.profile, job.indices)
            return
        try:
            jail = slot.jail(job.profile)
        except SandboxError as error:
            self._give_up(round_, job, str(error))
            return
        verdicts: dict[int, Verdict] = {}
        try:
            self._judge(round_, job, jail, verdicts)
        except ZygoteLost as error:
            jail.stop()
            self._count("zygotes_lost", 1)
            self._after_loss(round_, job, [index for index in job.indices if index not in verdicts], str(error))
        if any(verdict.reason == "protocol" for verdict in verdicts.values()):
            jail.is_suspect = True  # whoever writes rubbish may have tried more
        self._count("batched" if job.lane == "batch" else "isolated", len(verdicts))
        self._settle(round_, job, verdicts)

    def _judge(self, round_: Round, job: ProgramJob, jail: Jail, verdicts: dict[int, Verdict]) -> None:
        """Run the programs of `job` and put each verdict into `verdicts` as it arrives; some go back to the round."""
        limits = self.limits.for_job(job.profile, job.attempt)
        tasks = [round_.tasks[index] for index in job.indices]
        if job.lane == "batch":
            packed = [wire.pack_job(tasks, wire.BATCH, limits)]
        else:
            lanes = [wire.ISOLATED] + [wire.FOLLOWING] * (len(tasks) - 1)
            packed = [wire.pack_job([task], lane, limits) for task, lane in zip(tasks, lanes, strict=True)]
        put_back: list[int] = []
        for index, record in zip(job.indices, jail.run(packed, len(tasks), round_.is_cancelled), strict=True):
            if record.flags & wire.PUT_BACK:
                put_back.append(index)
                continue
            program = round_.programs[index]
            verdicts[index] = judge(
                program.id,
                record,
                mode=wire.MODES[program.mode],
                lane=job.lane,
                grade=self.grade,
                limits=limits,
                waited=jail.waited,
            )
        if put_back:
            round_.add(replace(job, indices=tuple(put_back)))

    def _after_loss(self, round_: Round, job: ProgramJob, unfinished: Sequence[int], why: str) -> None:
        """Run the unfinished again; in isolation only the first of them can have had to do with the loss."""
        if job.lane == "batch":
            round_.add_isolated(job.profile, unfinished)
            return
        suspect, *rest = unfinished
        self._again(round_, job, suspect, lost(round_.programs[suspect].id, why, self.grade))
        if rest:
            round_.add(replace(job, indices=tuple(rest)))

    def _give_up(self, round_: Round, job: ProgramJob, why: str) -> None:
        """No zygote can be started, which says nothing about any program."""
        for index in job.indices:
            if not job.audits:
                round_.verdicts[index] = lost(round_.programs[index].id, why, self.grade)

    def _settle(self, round_: Round, job: ProgramJob, verdicts: dict[int, Verdict]) -> None:
        if round_.is_cancelled():
            return
        isolate: list[int] = []
        wider = PROFILES[job.profile].wider
        for index, verdict in verdicts.items():
            failed = verdict.status != PASSED
            if failed and job.lane == "batch" and is_provisional(verdict):
                isolate.append(index)
            elif failed and wider and not job.audits and is_not_loaded(verdict):
                round_.add_isolated(wider, [index])  # its text did not show what it needs
            elif verdict.status == UNKNOWN:
                self._again(round_, job, index, verdict)
            elif job.audits:
                self._compare(round_, job, index, verdict)
            else:
                round_.verdicts[index] = verdict
        round_.add_isolated(job.profile, isolate)
        if job.lane == "batch":
            kept = [index for index in verdicts if round_.verdicts[index] is not None]
            audited = self._random.sample(kept, min(len(kept), AUDITED_PER_BATCH))
            self._count("audited", len(audited))
            round_.add_isolated(job.profile, audited, audits=tuple(kept))

    def _again(self, round_: Round, job: ProgramJob, index: int, verdict: Verdict) -> None:
        """Once more, alone and in a fresh zygote, until the attempts are used up."""
        if job.attempt + 1 < ATTEMPTS:
            self._count("retried", 1)
            again = replace(job, lane="isolated", indices=(index,), attempt=job.attempt + 1, since=time.monotonic())
            round_.add(again)
        elif not job.audits:
            round_.verdicts[index] = verdict

    def _compare(self, round_: Round, job: ProgramJob, index: int, isolated: Verdict) -> None:
        """Hold an audited program's isolated verdict against the batch's; a proven difference is told to the lane.

        A difference is proven when further isolated runs confirm the first: else the program is not deterministic.
        """
        earlier = round_.verdicts[index]
        assert earlier is not None
        same = agree(earlier, isolated)
        if not job.confirms and same:
            self.lane.agreed()
        elif not job.confirms:
            round_.verdicts[index] = isolated
        if same == bool(job.confirms):  # it differs from the batch, or another isolated run agrees with the first
            if job.confirms < CONFIRMATIONS:
                round_.add(replace(job, indices=(index,), attempt=0, confirms=job.confirms + 1))
                return
            self.lane.differed(isolated.id, round_.programs[index].source)
            round_.add_isolated(job.profile, job.audits)

    def _count(self, name: str, number: int) -> None:
        with self._lock:
            self.counts[name] += number
