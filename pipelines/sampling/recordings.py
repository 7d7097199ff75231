"""What a recording lacks of what a sampling job wants, found before anything starts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raydistill.actors.engine.recorded import find_texts, plain_question, read_recording
from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.files import shortened
from raydistill.pipelines.config.sections import EngineConfig
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.runtime.pools import recording
from raydistill.pipelines.sampling.plan import SamplingPlan

NAMED = 3  # questions in a message


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


def check_recording(plan: SamplingPlan, questions: Sequence[Question], model: EngineConfig) -> Lacking | None:
    """What the recording of `model` lacks; None if it is nothing.

    Raises UsageError for a file that cannot be read, and where questions that differ in their options alone would get
    the same rows; IncompleteRecording where more is missing than `model.max_error_share` allows.
    """
    path, *columns = recording(model)
    texts = read_recording(path, *columns)
    lacks: dict[str, int] = {}
    wanted, missing = 0, 0
    by_plain: dict[str, set[str]] = defaultdict(set)
    for question in questions:
        held = len(find_texts(texts, question.text))
        if held and question.text.strip() not in texts:
            by_plain[plain_question(question.text)].add(question.text)
        counts = [len(indices) for _, indices in plan.wanted(question)]
        wanted += sum(counts)
        if lack := sum(max(0, count - held) for count in counts):
            lacks[question.text] = lack
            missing += lack
    if several := [plain for plain, whole in by_plain.items() if len(whole) > 1]:
        raise UsageError(
            f"{path}: {len(several):,} questions differ from others in their options alone, and the recording does not "
            f"tell them apart: {shortened(several[0], 60)!r}; expected the options in its questions, too"
        )
    lacking = Lacking(path, missing, wanted, lacks)
    if missing and (missing == wanted or missing > model.max_error_share * wanted):
        raise IncompleteRecording(
            f"{lacking}; expected at most {model.max_error_share:.0%} (max_error_share): complete the recording, "
            "or ask for fewer samples or questions"
        )
    return lacking if missing else None
