"""How children ended, as the kernel tells it, and which claims they left, in the form of records for the supervisor.

Threat model: these are the facts that outweigh every claim, so nothing here looks into a claim.
"""

import mmap
import os
import resource

from .. import wire
from ..wire import Record


class Ending:
    """How a child ended, as the kernel tells it."""

    def __init__(self, status: int, usage: resource.struct_rusage, wall_us: int, flags: int) -> None:
        self.signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        self.code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0
        self.usage = usage
        self.wall_us = wall_us
        self.flags = flags

    def is_exit(self, code: int) -> bool:
        return not self.signal and not self.flags and self.code == code

    def record(self, index: int, claim: bytes) -> bytes:
        usage = self.usage
        cpu_us = int((usage.ru_utime + usage.ru_stime) * 1e6)
        flags = self.flags | (wire.HAS_CLAIM if claim else 0)
        waits, preemptions = usage.ru_nvcsw, usage.ru_nivcsw
        observed = (self.signal, self.code, cpu_us, self.wall_us, usage.ru_maxrss, waits, preemptions, flags)
        return wire.pack_record(Record(wire.FACTS, index, *observed, claim))


def mates(first: int, claims: list[bytes]) -> list[bytes]:
    """Records of programs after which the child went on in good order."""
    facts = (0,) * 7
    return [
        wire.RECORD.pack(wire.FACTS, first + at, *facts, wire.HAS_CLAIM, len(claim)) + claim
        for at, claim in enumerate(claims)
    ]


def claims_in(area: mmap.mmap, first: int, count: int) -> tuple[bool, list[bytes], bool]:
    """(did the child get to its programs, the consecutive well-formed claims, is anything else malformed).

    Of the claims it takes nothing but their lengths.
    """
    started, frames, end = wire.AREA.unpack_from(area, 0)
    if frames > count - first or end > len(area):
        return bool(started), [], True
    claims: list[bytes] = []
    at = wire.AREA.size
    for index in range(first, first + frames):
        if at + wire.FRAME.size > end:
            return bool(started), claims, True
        claimed_index, length = wire.FRAME.unpack_from(area, at)
        at += wire.FRAME.size
        if claimed_index != index or length > wire.CLAIM_BYTES_MAX or at + length > end:
            return bool(started), claims, True
        claims.append(area[at : at + length])
        at += length
    return bool(started), claims, False
