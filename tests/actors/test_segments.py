"""Segments and the ledger: what is durable when, and what is counted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from raydistill.actors.engine.ledger import Ledger, read_spending
from raydistill.actors.segments import SegmentWriter, list_segments, read_segments
from raydistill.actors.storage import absolute, is_uri, local_path, read_bytes, scheme, write_atomic
from tests.waiting import wait_until

SCHEMA = pa.schema([("id", pa.string()), ("n", pa.int64())])


def rows(folder: Path) -> list[str]:
    return [row_id for table in read_segments(str(folder)) for row_id in table["id"].to_pylist()]


def test_a_flushed_row_is_readable_at_once_and_kept_once(tmp_path: Path) -> None:
    writer = SegmentWriter(str(tmp_path), SCHEMA, interval=3600)
    writer.append([{"id": "a", "n": 1}])
    assert rows(tmp_path) == []
    writer.flush()
    writer.append([{"id": "b", "n": 2}])
    writer.flush()
    assert rows(tmp_path) == ["a", "b"]


def test_segments_roll(tmp_path: Path) -> None:
    writer = SegmentWriter(str(tmp_path), SCHEMA, interval=0, roll=2)
    for i in range(5):
        writer.append([{"id": str(i), "n": i}])
    assert sorted(rows(tmp_path)) == list("01234")
    assert len(list_segments(str(tmp_path))) == 3


def test_a_tail_is_a_state_and_no_row(tmp_path: Path) -> None:
    writer = SegmentWriter(str(tmp_path), SCHEMA)
    writer.flush([{"id": "running", "n": 1}])
    assert rows(tmp_path) == ["running"]
    writer.append([{"id": "done", "n": 2}])
    writer.flush()
    assert rows(tmp_path) == ["done"]


def test_atomic_writes_leave_no_temporary_files(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.json"
    write_atomic(str(target), b"1")
    write_atomic(str(target), b"2")
    assert read_bytes(str(target)) == b"2"
    assert [path.name for path in target.parent.iterdir()] == ["file.json"]
    assert read_bytes(str(tmp_path / "absent")) is None


def test_a_ledger_counts_finished_and_running_attempts_by_purpose(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path), interval=3600)
    first, second, other = ledger.start("q/0", "synth"), ledger.start("q/0", "synth"), ledger.start("q/0", "eval")
    first.tokens, second.tokens, other.tokens = 10, 4, 100
    first.finish()
    ledger.flush()
    second.tokens = 7
    ledger.close()
    assert read_spending(str(tmp_path), "synth").tokens == 17
    assert read_spending(str(tmp_path), "synth").attempts == 2
    assert read_spending(str(tmp_path), "eval").tokens == 100


WORKER = """
import sys, time
from raydistill.actors.engine.ledger import Ledger
ledger = Ledger(sys.argv[1], interval=0.05)
attempt = ledger.start("q/0")
print("up", flush=True)
while True:
    attempt.tokens += 1
    time.sleep(0.01)  # an engine at work, until it is killed
"""


def test_a_ledger_survives_kill_9(tmp_path: Path) -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout and worker.stdout.readline() == "up\n"
    wait_until(lambda: read_spending(str(tmp_path)).tokens, 60, "tokens in the ledger")
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert read_spending(str(tmp_path)).tokens > 0


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_paths_and_uris_are_the_same_place(tmp_path: Path, scheme: str) -> None:
    write_atomic(f"{scheme}{tmp_path}/x", b"here")
    assert (tmp_path / "x").read_bytes() == b"here"


def test_a_uri_stays_and_a_path_becomes_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (absolute("s3://bucket/run/"), scheme("s3://bucket/run")) == ("s3://bucket/run", "s3://")
    assert (absolute("run/"), scheme("run"), is_uri("run")) == (str(tmp_path / "run"), "", False)
    (tmp_path / "model").mkdir()
    assert [local_path(name) for name in ("model", "owner/model")] == [str(tmp_path / "model"), "owner/model"]
