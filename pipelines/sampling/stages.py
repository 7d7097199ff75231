"""The three stages of a sampling job; the streaming row is one question carrying its samples.

    Generate   consumes questions             waits for the engine pool     writes completions/
    Verify     consumes their completions     waits for the executor pool   writes verdicts/
    Select     consumes verified questions    waits for nobody              writes examples/

Generate and Verify read what an earlier run has stored instead of paying for it again, and store each new result
before they pass it on. They are Ray Data actors, but for what is a single batch.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from raydistill.actors.engine.requests import Completion
from raydistill.actors.metrics import count_verdicts
from raydistill.actors.pool import PoolClient
from raydistill.actors.segments import SegmentWriter
from raydistill.pipelines.data.records import Example, Question, Sample, content_hash
from raydistill.pipelines.sampling.log import run_log
from raydistill.pipelines.sampling.plan import Completer, SamplingPlan
from raydistill.pipelines.sampling.prompter import Prompter, Selector
from raydistill.pipelines.sampling.samples import completion_row, to_sample
from raydistill.pipelines.sampling.schemas import (
    completion_schema,
    generated_schema,
    outcome_schema,
    verdict_schema,
    verified_schema,
)
from raydistill.pipelines.sampling.stored_rows import StoredRows, to_question
from raydistill.pipelines.sampling.verdicts import judge
from raydistill.pipelines.spending.gate import UNASKED
from raydistill.pipelines.tasks.base import Task

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_VALUE = 200  # characters of an answer in what is told of a question


class Generate:
    """Completes questions; stored completions are read, missing ones generated, stored, and passed on."""

    def __init__(self, plan: SamplingPlan, engines: Completer, folder: str, together: int = 1) -> None:
        self._plan, self._engines = plan, engines
        self._together = together  # questions of one call, which come back when all are answered
        self._writer = SegmentWriter(folder, completion_schema(), interval=0.3)
        self._stored = StoredRows(folder, "stored_completions")
        self._log = run_log("generate", folder.rsplit("/", 2)[0])

    async def __call__(self, batch: pa.Table) -> pa.Table:
        import pyarrow as pa

        questions = [json.loads(text) for text in batch["question"].to_pylist()]
        asked = [
            _Asked(row, self._plan, stored) for row, stored in zip(questions, self._stored.of(questions), strict=True)
        ]
        calls = (asked[start : start + self._together] for start in range(0, len(asked), self._together))
        await asyncio.gather(*map(self._complete, calls))
        await asyncio.to_thread(self._writer.flush)
        rows = [one.answered() for one in asked]
        self._log.info("questions completed", questions=len(rows), generated=sum(row["generated"] for row in rows))
        return pa.Table.from_pylist(rows, schema=generated_schema())

    async def _complete(self, asked: Sequence[_Asked]) -> None:
        """Generate and store what some questions lack."""
        lacking = {one.question.id: one for one in asked if one.missing}
        if not lacking:
            return
        requests = [request for one in lacking.values() for request in one.missing]
        for completion in await self._engines.call("generate", requests):
            lacking[completion.request_id.partition("/")[0]].take(completion)
            if completion.error and not completion.error.startswith(UNASKED):
                self._log.warning("no completion", sample_id=completion.sample_id, error=completion.error)
        self._writer.append([made for one in lacking.values() for made in one.fresh.values() if not made["error"]])


class _Asked:
    """A question on its way through `Generate`: what is stored of it, what is missing, what came."""

    def __init__(self, row: dict[str, Any], plan: SamplingPlan, stored: dict[str, dict[str, Any]]) -> None:
        self.question = to_question(row)
        self.missing = plan.missing(self.question, stored)
        self.fresh: dict[str, dict[str, Any]] = {}
        self._row, self._plan, self._stored, self._cap = row, plan, stored, ""
        self._prompts = {p.context: p for p in plan.prompter.prompts(self.question)} if self.missing else {}

    def take(self, completion: Completion) -> None:
        """A sample that was generated, or left out by the budget."""
        if completion.error.startswith(UNASKED):
            self._cap = completion.error.removeprefix(UNASKED)
            return
        prompt = self._prompts[completion.request_id.partition("/")[2]]
        self.fresh[completion.sample_id] = completion_row(self.question, completion, prompt, self._plan.model)

    def answered(self) -> dict[str, Any]:
        """The row that is passed on."""
        ids, there = self._plan.sample_ids(self.question), self._stored | self.fresh
        came = [there[i] for i in ids if i in there or not self._cap]
        told = {"generated": len(self.fresh), "unasked": len(ids) - len(came), "cap": self._cap}
        return self._row | {"completions": came, **told}


class Verify:
    """Judges completions: runs their programs, or reads their stated answers, and compares with the gold answer.

    The gold answer stays here; an executor sees programs only. `unknown` is never stored, so the next run tries again.
    """

    def __init__(self, prompter: Prompter, task: Task, executors: PoolClient, folder: str) -> None:
        self._prompter, self._task, self._executors = prompter, task, executors
        self._writer = SegmentWriter(folder, verdict_schema())
        self._stored = StoredRows(folder, "stored_verdicts")
        self._log = run_log("verify", folder.rsplit("/", 2)[0])

    async def __call__(self, batch: pa.Table) -> pa.Table:
        import pyarrow as pa

        rows = batch.to_pylist()
        known = self._stored.of(rows)
        pending = [
            (to_question(row), completion)
            for row, stored in zip(rows, known, strict=True)
            for completion in row["completions"]
            if completion["sample_id"] not in stored
        ]
        verdicts = await judge(pending, self._prompter, self._task.grade, self._executors)
        fresh = {verdict["sample_id"]: verdict for verdict in verdicts}
        self._writer.append([verdict for verdict in fresh.values() if verdict["status"] != "unknown"])
        await asyncio.to_thread(self._writer.flush)
        self._tell(fresh.values())
        for row, stored in zip(rows, known, strict=True):
            ids = [completion["sample_id"] for completion in row["completions"]]
            row["verdicts"] = [stored.get(i) or fresh[i] for i in ids]
            row["verified"] = sum(i not in stored for i in ids)
        return pa.Table.from_pylist(rows, schema=verified_schema())

    def _tell(self, verdicts: Collection[dict[str, Any]]) -> None:
        """Count verdicts for Prometheus, and log them: one line for the batch, and one per sample without a verdict."""
        count_verdicts(verdicts)
        self._log.info("samples judged", **Counter(verdict["status"] for verdict in verdicts))
        for verdict in verdicts:
            if verdict["status"] == "unknown":
                told = {"sample_id": verdict["sample_id"], "reason": verdict["reason"]}
                self._log.warning("no verdict", **told, detail=verdict.get("message", ""))


@dataclass(frozen=True, slots=True)
class Budget:
    """When a question gets no further round although there are not enough samples."""

    last_round: bool = True
    tokens: int | None = None  # completion tokens of a question
    samples: int | None = None  # of a question

    def finishes(self, selector: Selector | None, question: Question, samples: Sequence[Sample]) -> bool:
        """Whether a question with these samples gets no further round."""
        spent = sum(sample.completion_tokens for sample in samples)
        return (
            self.last_round
            or (self.tokens is not None and spent >= self.tokens)
            or (self.samples is not None and len(samples) >= self.samples)
            or (selector is not None and selector.enough(question, samples))
        )


class Select:
    """Turns verified questions into examples (stored) and outcomes (passed on to the driver).

    A question that needs another round, and has budget left for it, is only reported.
    """

    def __init__(self, selector: Selector | None, folder: str | None, budget: Budget) -> None:
        from raydistill.pipelines.data.examples import example_schema

        self._selector, self._budget = selector, budget
        self._writer = SegmentWriter(folder, example_schema()) if folder else None

    def __call__(self, batch: pa.Table) -> pa.Table:
        import pyarrow as pa

        outcomes = [self.outcome(row) for row in batch.to_pylist()]
        self.flush()
        return pa.Table.from_pylist(outcomes, schema=outcome_schema())

    def flush(self) -> None:
        """Make the examples so far durable."""
        if self._writer:
            self._writer.flush()

    def outcome(self, row: dict[str, Any]) -> dict[str, Any]:
        """What became of a question, whose examples are written; of one of several teachers' with its name."""
        from raydistill.pipelines.data.examples import to_row

        question = to_question(row)
        samples = [to_sample(c, v) for c, v in zip(row["completions"], row["verdicts"], strict=True)]
        outcome: dict[str, Any] = {
            "question_id": row["question_id"],
            "finished": bool(row["unasked"]) or self._budget.finishes(self._selector, question, samples),
            "contexts": [sample.context for sample in samples],
            "statuses": [sample.status for sample in samples],
            "reasons": [sample.reason for sample in samples],
            "values": [_counted(sample) for sample in samples],
            "prompt_tokens": sum(sample.prompt_tokens for sample in samples),
            "completion_tokens": sum(sample.completion_tokens for sample in samples),
            "grade": next((v["grade"] for v in row["verdicts"] if v["grade"]), ""),
            "error": next((v["message"] for v in row["verdicts"] if v["reason"] == "engine_error"), ""),
            "generated": row["generated"],
            "unasked": row["unasked"],
            "cap": row["cap"],
            "verified": row["verified"],
            "kept": [],
            "dropped": [],
        }
        if self._writer and self._selector and samples and outcome["finished"]:
            selection = self._selector.select(question, samples)
            teachers = {c["sample_id"]: c["teacher"] for c in row["completions"] if c.get("teacher")}
            self._writer.append([to_row(_from_teacher(example, teachers)) for example in selection.examples])
            outcome["kept"] = [example.source for example in selection.examples]
            outcome["dropped"] = [reason for reason, count in selection.dropped.items() for _ in range(count)]
        return outcome


def _from_teacher(example: Example, teachers: Mapping[str, str]) -> Example:
    """The example with the name of the teacher that its sample is of, where there are several."""
    name = teachers.get(example.source)
    return replace(example, meta={**example.meta, "teacher": name}) if name else example


def _counted(sample: Sample) -> str:
    """The answer of a sample as votes count it; a long one shortened such that different ones stay different."""
    value = "" if sample.reason == "no_answer" else sample.value
    return value if len(value) <= LONGEST_VALUE else f"{value[: LONGEST_VALUE - 17]} {content_hash(value)}"
