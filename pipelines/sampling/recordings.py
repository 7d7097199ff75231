"""What a recording lacks of what a sampling job wants, found before anything starts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from raydistill.actors.engine.recording import plain_question, read_recording
from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.files import shortened
from raydistill.pipelines.config.sections import EngineConfig
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.runtime.pools import recording
from raydistill.pipelines.sampling.plan import SamplingPlan
from raydistill.pipelines.sampling.segment_index import SegmentIndex

NAMED = 3  # questions in a message
QUESTIONS_AT_ONCE = 20_000  # whose stored samples are looked up together


class IncompleteRecording(UsageError):
    """A recording that lacks more of a job's samples than may fail."""


@dataclass(frozen=True, slots=True)
class Lacking:
    """Samples that a recording does not hold; ``Lacking("said.jsonl", 12, 84, {"What is 1 plus 1?": 2})``."""

    path: str
    missing: int
    wanted: int
    questions: Mapping[str, int]  # how many samples each of them lacks

    def __str__(self) -> str:
        first = ", ".join(f"{shortened(text, 60)!r} ({count})" for text, count in list(self.questions.items())[:NAMED])
        more = ", ..." if len(self.questions) > NAMED else ""
        return (
            f"{self.path} lacks {self.missing:,} of {self.wanted:,} samples, of {len(self.questions):,} questions: "
            f"{first}{more}"
        )


def check_recording(
    plan: SamplingPlan, questions: Sequence[Question], model: EngineConfig, completions: str | None = None
) -> Lacking | None:
    """What the recording of `model` lacks of what is not stored in the folder `completions`; None if it is nothing.

    Raises UsageError for a file that cannot be read, and where questions that differ in their options alone would get
    the same rows; IncompleteRecording where more is missing than `model.max_error_share` allows.
    """
    paths, *columns = recording(model)
    said = read_recording(paths, *columns)
    lacks: dict[str, int] = {}
    wanted = 0
    by_plain: dict[str, set[str]] = defaultdict(set)
    for question, stored in _with_stored(questions, completions):
        if said.found_by_plain_question(question.text):
            by_plain[plain_question(question.text)].add(question.text)
        wanted += len(plan.sample_ids(question))
        if lack := sum(len(said.lacks(request)) for request in plan.missing(question, stored)):
            lacks[question.text] = lack
    path, missing = said.path, sum(lacks.values())
    if several := [plain for plain, whole in by_plain.items() if len(whole) > 1]:
        raise UsageError(
            f"{path}: {len(several):,} questions differ from others in their options alone, and the recording does not "
            f"tell them apart: {shortened(several[0], 60)!r}; expected the options in its questions, too"
        )
    lacking = Lacking(path, missing, wanted, lacks)
    if missing and (missing == wanted or missing > model.max_error_share * wanted):
        raise IncompleteRecording(
            f"{lacking}; expected at most {model.max_error_share:.0%} (max_error_share): complete the recording "
            "(`raydistill export-requests` asks a batch API for the rest), or ask for fewer samples or questions"
        )
    return lacking if missing else None


def _with_stored(questions: Sequence[Question], completions: str | None) -> Iterator[tuple[Question, Container[str]]]:
    """The questions with the ids of their stored samples."""
    index = SegmentIndex(completions) if completions else None
    for start in range(0, len(questions), QUESTIONS_AT_ONCE):
        portion = questions[start : start + QUESTIONS_AT_ONCE]
        stored = index.of(portion).sample_ids if index else ()
        yield from ((question, stored) for question in portion)
