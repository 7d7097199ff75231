"""Mates of a batch: each finds the memory that it would have alone, and none finds another's text or claim."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydistill.actors.executor import Executor, Program
from raydistill.actors.sandbox.inside.screen import Screen, _has_plain_fields
from tests import ROOT
from tests.actors.sandbox.attack import load

pytestmark = pytest.mark.skipif(not Screen.known(), reason="the screen's tables are for other Python versions")

PROGRAMS = {row["name"]: row["program"] for row in load(True, "hostile")}
MEMO = PROGRAMS["honest_memo_cycle"]
SIZES = {(300, 60): 0, (200, 80): 0, (100, 40): 0, (30, 10): 0}
WALKS = {
    "tasks": "repr(frame.f_locals)",
    "items": "repr([(k, v) for k, v in frame.f_locals.items()])",
    "own attributes": "repr([vars(v) for v in frame.f_locals.values() if hasattr(v, '__dict__')])",
    "indexed": "repr([v[:] for v in frame.f_locals.values() if hasattr(v, '__getitem__') and not isinstance(v, dict)])",
    "closures": "repr([[c.cell_contents for c in getattr(v, '__closure__', 0) or ()] for v in frame.f_locals.values()])",  # noqa: E501
    "globals": "repr(frame.f_globals)",
}
WALK = """\
import sys
def solution():
    frame, texts = sys._getframe(), ''
    while frame:
        texts += {look}
        frame = frame.f_back
    return texts.count('marker-' + 'of-a-mate')
"""


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    running = Executor()
    yield running
    running.close()


def ways(n: int, k: int) -> int:
    """What `MEMO` counts, without recursion: partitions of n into parts of at most k."""
    counts = [1] + [0] * n
    for part in range(1, k + 1):
        for total in range(part, n + 1):
            counts[total] += counts[total - part]
    return counts[n]


def test_memory_of_earlier_mates_fails_no_later_one(executor: Executor) -> None:
    picked = [(300, 120), *random.Random(0).choices(list(SIZES), k=99)]
    verdicts = executor.run([Program("m", MEMO.replace("300, 120", f"{n}, {k}")) for n, k in picked])
    assert [verdict.value for verdict in verdicts] == [ways(n, k) for n, k in picked]
    assert executor.status()["batch_lane"]


@pytest.mark.parametrize("hog", ["hog_keeps_batch_memory", "cycle_garbage_kept", "memory_storm_released"])
def test_a_hog_costs_its_mates_nothing(executor: Executor, hog: str) -> None:
    source = "def solution():\n    return len([str(n) * 3 for n in range(%d)])\n"
    programs = [Program("m", source % (n * 1000)) for n in range(20)]
    verdicts = executor.run([Program("hog", PROGRAMS[hog]), *programs])
    assert [verdict.value for verdict in verdicts[1:]] == [n * 1000 for n in range(20)]


BENEATH = """
import json, mmap, sys
from raydistill.actors.sandbox import wire
from raydistill.actors.sandbox.host.verdict import read_claim
from raydistill.actors.sandbox.inside.child import ProgramRunner
from raydistill.actors.sandbox.inside.zygote import Zygote

class Open:
    def namespace(self, name):
        return {"__name__": name, "__builtins__": __builtins__}
    def passes(self, code):
        return True

def start():
    tasks = [wire.pack_task(wire.ProgramMessage(source)) for source in json.load(sys.stdin)]
    data = wire.pack_job(tasks, wire.BATCH, (2, 8000, 256, 65536, 8192))
    zygote = object.__new__(Zygote)
    zygote.runner, zygote.area = ProgramRunner(Open()), mmap.mmap(-1, wire.AREA_BYTES)
    zygote.inbox = mmap.mmap(-1, len(data))
    zygote.inbox[: len(data) - wire.JOB.size] = data[wire.JOB.size :]
    return zygote, wire.JobHeader(*wire.JOB.unpack_from(data)), iter([zygote.area])

zygote, job, hidden = start()
out = sys.stdout
assert zygote._run_mates(job, 0) == 0
area, at, values = next(hidden), wire.AREA.size, []
for _ in range(wire.AREA.unpack_from(area, 0)[1]):
    _, length = wire.FRAME.unpack_from(area, at)
    at += wire.FRAME.size + length
    values.append(read_claim(area[at - length : at], 8192).value)
print(json.dumps(values), file=out)
"""


@pytest.mark.parametrize("look", WALKS.values(), ids=WALKS)
def test_frames_of_a_mate_lead_to_no_other_text_or_claim(look: str) -> None:
    """With a screen that lets everything pass: what is then still out of reach."""
    mate = "def solution():\n    return 'marker-of-a-mate'"
    command = [sys.executable, "-c", BENEATH]
    sources = json.dumps([mate, WALK.replace("{look}", look), mate])
    done = subprocess.run(command, cwd=ROOT, input=sources, capture_output=True, text=True)
    assert json.loads(done.stdout or "0") == ["marker-of-a-mate", 0, "marker-of-a-mate"], done.stderr[-600:]


@pytest.mark.parametrize("name", ["fmt_read_mates_source", "fmt_read_mates_answers", "fmt_lane_detector"])
def test_format_fields_that_reach_attributes_are_isolated(executor: Executor, name: str) -> None:
    mates = [Program("m", "def solution():\n    return 'marker'")] * 3
    assert executor.run([*mates, Program("spy", PROGRAMS[name])])[-1].lane == "isolated"


FIELDS = st.recursive(
    st.sampled_from(["", "0", "name", "0.a", "0[k]", "a.__class__", "0[0].b"]),
    lambda inner: st.builds(lambda field, form: f"{field}:{{{form}}}", st.sampled_from(["", "0", "0.x"]), inner),
    max_leaves=3,
)


@given(st.lists(FIELDS, max_size=3))
def test_a_format_is_plain_only_if_it_reads_no_attribute(fields: list[str]) -> None:
    """By doing it: an argument that tells when somebody reads an attribute or an item."""

    class Telling(str):
        def __getattribute__(self, name: str) -> object:
            read.append(name)
            return self

        def __getitem__(self, key: object) -> object:
            read.append(key)
            return self

        def __format__(self, form: str) -> str:
            return ""

    read: list[object] = []
    text = "x".join(f"{{{field}}}" for field in fields)
    with contextlib.suppress(ValueError, IndexError, KeyError):
        text.format(*[Telling()] * 4, name=Telling(), a=Telling())
    assert not (_has_plain_fields(text) and read)


SEEDS = {
    "random.seed(7)": "batch",
    "random.seed('x')": "batch",
    "random.seed()": "isolated",
    "random.seed(None)": "isolated",
}
SEEDS |= {"random.seed(a=None)": "isolated", "random.seed(*[])": "isolated", "(lambda f: f())(random.seed)": "isolated"}
SEEDS |= {"random.seed(1 if a else None)": "isolated", "random.seed(a or 5)": "isolated"}
FORMATS = {"'{:.2f} {a}'.format(1, a=2)": "batch", "format(a, '.2f')": "batch", "'{0.real}'.format(a)": "isolated"}
FORMATS |= {"str.format('{}', a)": "isolated", "(a and 'x' or '{}').format(a)": "isolated"}
FORMATS |= {"'{:{0.real}}'.format(a)": "isolated", "list(map(str.format, ['{}'], [a]))": "isolated"}


@pytest.mark.parametrize(("expression", "lane"), [*SEEDS.items(), *FORMATS.items()], ids=[*SEEDS, *FORMATS])
def test_watched_names_share_a_process_only_where_the_code_shows_their_use(
    executor: Executor, expression: str, lane: str
) -> None:
    source = f"import random\ndef solution():\n    a = 0\n    {expression}\n    return 1\n"
    assert [verdict.lane for verdict in executor.run([Program("p", source)] * 2)] == [lane] * 2


@pytest.mark.parametrize(
    "body",
    [
        "def f(n):\n    try:\n        return f(n + 1)\n    except RecursionError:\n        return n\ndef solution():\n"
        "    return f(0)",
        PROGRAMS["cycle_generator_finally"],
        MEMO,
    ],
    ids=["depth of the stack", "collector", "memory"],
)
def test_both_lanes_give_the_same(executor: Executor, body: str) -> None:
    [alone] = executor.run([Program("p", body)])
    together = executor.run([Program("p", body)] * 2)
    assert {verdict.value for verdict in together} == {alone.value} and together[0].lane == "batch"
