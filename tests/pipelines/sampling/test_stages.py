"""Stages that Ray restarts: what the lost one had stored is found, not made again."""

from __future__ import annotations

import os

import pytest
import ray

from raydistill.actors.segments import SegmentWriter
from raydistill.pipelines.sampling.schemas import verdict_schema
from raydistill.pipelines.sampling.stored_rows import StoredRows

ROW = {"question_id": "q1", "text": "How many?", "answer": "2", "meta": {}, "stored_verdicts": []}


def write_verdict(folder: str, sample_id: str) -> None:
    writer = SegmentWriter(folder, verdict_schema())
    writer.append([{"sample_id": sample_id, "question_id": "q1", "status": "passed"}])
    writer.flush()


class Holder:
    """An actor around stored rows."""

    def __init__(self, folder: str) -> None:
        self._stored = StoredRows(folder, "stored_verdicts")

    def found(self) -> list[str]:
        [rows] = self._stored.of([ROW])
        return sorted(rows)

    def die(self) -> None:
        os._exit(1)


def test_a_restarted_stage_finds_what_the_lost_one_stored(cluster, tmp_path):
    write_verdict(str(tmp_path), "q1//0")
    holder = ray.remote(Holder).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote(str(tmp_path))
    assert ray.get(holder.found.remote()) == []  # the driver says what there is, until it cannot know
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(holder.die.options(max_task_retries=0).remote())
    assert ray.get(holder.found.remote()) == ["q1//0"]
