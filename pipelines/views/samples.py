"""Samples of a run as people read them, found in the stored segments by streaming: ids first, then the rows wanted.

No more is in memory than ids, the rows that are asked for, and one segment.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import blake2b
from typing import Any

from raydistill.actors.segments import read_segments
from raydistill.pipelines.views.run_folder import RunFolder, Sampling, batches_of, rows_where

AT_ONCE = 10_000  # samples that are read together where all are wanted
NO_VERDICT = "unknown"


@dataclass(frozen=True, slots=True)
class ShownSample:
    """A completion with its question, its gold answer and its verdict. ``unknown`` where there is no verdict."""

    id: str
    question_id: str
    index: int  # among the samples of a question and a prompt
    stage: str
    model: str
    context: str
    format: str
    question: str
    gold: str
    text: str
    output: str  # what was read out of the completion: the program, or the answer in words
    status: str
    reason: str
    value: str
    message: str
    stdout: str
    finish_reason: str
    tokens: int
    learned: bool  # it became an example

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which samples are wanted; None takes all. `reason` may be the beginning of one (``exception``)."""

    status: str | None = None
    reason: str | None = None
    context: str | None = None

    def takes(self, sample_id: str, status: str, reason: str) -> bool:
        return (
            (self.status is None or status == self.status)
            and (self.reason is None or reason == self.reason or reason.startswith(f"{self.reason}:"))
            and (self.context is None or parts_of(sample_id)[1] == self.context)
        )


EVERYTHING = Filter()


def parts_of(sample_id: str) -> tuple[str, str, int]:
    """Question, prompt and index of a sample, from its id ``<question>/<context>/<index>``."""
    question, _, rest = sample_id.partition("/")
    context, _, index = rest.rpartition("/")
    return question, context, int(index) if index.isdecimal() else 0


def verdicts(sampling: Sampling) -> Iterator[tuple[str, str, str]]:
    """Sample id, status and reason of everything that has been judged; of what a restart judged twice once more."""
    for table in read_segments(sampling.verdicts, ["sample_id", "status", "reason"]):
        yield from zip(*(column.to_pylist() for column in table.columns), strict=True)


def matching(sampling: Sampling, wanted: Filter) -> list[str]:
    """The ids of the samples that a filter takes, each once, by question, prompt and index."""
    found = dict.fromkeys(i for i, status, reason in verdicts(sampling) if wanted.takes(i, status, reason))
    if wanted.takes("", NO_VERDICT, "") or wanted.context and wanted.status in (None, NO_VERDICT):
        judged = {i for i, _, _ in verdicts(sampling)}
        unjudged = (i for i in _completed(sampling) if i not in judged and wanted.takes(i, NO_VERDICT, ""))
        found |= dict.fromkeys(unjudged)
    questions = batches_of(sampling.questions, ["question_id"])
    places = {i: place for place, i in enumerate(i for batch in questions for i in batch["question_id"].to_pylist())}
    return sorted(found, key=partial(_place, places))


def _place(places: Mapping[str, int], sample_id: str) -> tuple[int, str, int]:
    question, context, index = parts_of(sample_id)
    return places.get(question, len(places)), context, index


def stored(sampling: Sampling) -> int:
    """How many samples there are, judged or not."""
    return sum(1 for _ in _completed(sampling))


def _completed(sampling: Sampling) -> Iterator[str]:
    for table in read_segments(sampling.completions, ["sample_id"]):
        yield from table["sample_id"].to_pylist()


def tally(sampling: Sampling) -> tuple[Counter[str], Counter[str]]:
    """How many samples have which status and which reason, counted in the stored verdicts."""
    statuses, reasons = Counter[str](), Counter[str]()
    for _, status, reason in verdicts(sampling):
        statuses[status] += 1
        reasons[reason] += 1
    return statuses, reasons


def drawn(samplings: Sequence[Sampling], count: int, *, of_each_reason: int = 0, seed: int = 0) -> dict[str, list[str]]:
    """Ids of `count` samples of these jobs, by title: those with the lowest hashes, whatever order they lie in.

    Among them are, so far as there are any, `of_each_reason` of each job's every reason.
    """
    picked: dict[tuple[str, str], None] = {}
    for sampling in samplings if of_each_reason else ():
        lowest: dict[str, list[tuple[int, str]]] = {}
        for sample_id, _, reason in verdicts(sampling):
            _keep_lowest(lowest.setdefault(reason, []), sample_id, of_each_reason, seed)
        picked |= {(sampling.title, i): None for heap in lowest.values() for _, i in sorted(heap, reverse=True)}
    everything = ((_hash(i, seed), s.title, i) for s in samplings for i in _completed(s))
    picked |= {(title, i): None for _, title, i in heapq.nsmallest(count, everything)}
    by_title: dict[str, list[str]] = {}
    for title, sample_id in itertools.islice(picked, count):
        by_title.setdefault(title, []).append(sample_id)
    return by_title


def _keep_lowest(heap: list[tuple[int, str]], sample_id: str, most: int, seed: int) -> None:
    entry = (-_hash(sample_id, seed), sample_id)
    if len(heap) < most:
        heapq.heappush(heap, entry)
    elif entry not in heap:
        heapq.heappushpop(heap, entry)


def _hash(sample_id: str, seed: int) -> int:
    digest = blake2b(f"{seed}/{sample_id}".encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


def fetch(run: RunFolder, sampling: Sampling, ids: Sequence[str]) -> list[ShownSample]:
    """The samples with these ids, in this order; those that are not stored are left out."""
    completions = {row["sample_id"]: row for row in rows_where(sampling.completions, "sample_id", ids)}
    judged = {row["sample_id"]: row for row in rows_where(sampling.verdicts, "sample_id", ids)}
    asked = {row["question_id"] for row in completions.values()}
    questions = {row["question_id"]: row for row in rows_where(sampling.questions, "question_id", asked)}
    sources = learned(run, ids)
    return [
        _shown(sampling, completions[i], judged.get(i, {}), questions, i in sources)
        for i in dict.fromkeys(ids)
        if i in completions
    ]


def everything(run: RunFolder, sampling: Sampling, wanted: Filter) -> Iterator[ShownSample]:
    """All samples that a filter takes, `AT_ONCE` in memory."""
    ids = matching(sampling, wanted)
    for start in range(0, len(ids), AT_ONCE):
        yield from fetch(run, sampling, ids[start : start + AT_ONCE])


def learned(run: RunFolder, ids: Collection[str]) -> set[str]:
    """Which of these samples became examples."""
    return {row["source"] for folder in run.example_folders() for row in rows_where(folder, "source", ids, ["source"])}


def _shown(sampling: Sampling, completion: Any, verdict: Any, questions: Any, became_example: bool) -> ShownSample:
    question = questions.get(completion["question_id"], {})
    names = ("context", "format", "text", "finish_reason")
    told = {name: verdict.get(name) or "" for name in ("output", "reason", "value", "message", "stdout")}
    return ShownSample(
        id=completion["sample_id"],
        question_id=completion["question_id"],
        index=completion["index"],
        stage=sampling.title,
        model=sampling.model,
        **{name: completion[name] or "" for name in names},
        question=question.get("text", ""),
        gold=question.get("answer", ""),
        status=verdict.get("status", NO_VERDICT),
        **told,
        tokens=completion["completion_tokens"] or 0,
        learned=became_example,
    )
