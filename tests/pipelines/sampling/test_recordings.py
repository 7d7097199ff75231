"""What a recording lacks, and requests that fail, end a stage with one line instead of a score of nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from raydistill.actors.engine.requests import Sampling
from raydistill.actors.errors import EngineError, UsageError
from raydistill.pipelines.config.sections import EngineConfig
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.sampling.job import SamplingStats
from raydistill.pipelines.sampling.plan import SamplingPlan
from raydistill.pipelines.sampling.prompter import Prompt, Prompter, read_output
from raydistill.pipelines.sampling.recordings import IncompleteRecording, check_recording
from raydistill.pipelines.sampling.sampler import check_errors
from tests.rows import write_rows

OPTIONS = "\nOptions:\n(A) {}\n(B) {}"


def plan(n: int = 1) -> SamplingPlan:
    asked = Prompter(lambda question: [Prompt("x", [{"role": "user", "content": question.text}])], read_output, "t/1")
    return SamplingPlan(prompter=asked, sampling=Sampling(), n=n, seed=0)


def questions(*texts: str) -> list[Question]:
    return [Question.make("t", text, "A") for text in texts]


def recording(folder: Path, *asked: str, **settings: float) -> EngineConfig:
    path = write_rows(folder / "said.jsonl", [{"question": text, "completion": "(A)"} for text in asked])
    return EngineConfig.model_validate({"engine": "recorded", "model": str(path), **settings})


def test_questions_with_options_are_found_by_the_plain_question(tmp_path: Path) -> None:
    asked = questions("Where?" + OPTIONS.format("sea", "sand"), "Who?" + OPTIONS.format("he", "she"))
    assert check_recording(plan(), asked, recording(tmp_path, "Where?", "Who?")) is None
    assert check_recording(plan(), asked, recording(tmp_path, *(question.text for question in asked))) is None


def test_options_alone_must_not_tell_questions_apart(tmp_path: Path) -> None:
    asked = questions("Where?" + OPTIONS.format("sea", "sand"), "Where?" + OPTIONS.format("here", "there"))
    with pytest.raises(UsageError, match="1 questions differ from others in their options alone.*'Where\\?'"):
        check_recording(plan(), asked, recording(tmp_path, "Where?"))
    assert check_recording(plan(), asked, recording(tmp_path, *(question.text for question in asked))) is None


def test_what_is_missing_is_told_or_ends_the_stage(tmp_path: Path) -> None:
    asked = questions(*(f"q{number}" for number in range(10)))
    there = [question.text for question in asked[:9]]
    assert "lacks 1 of 10 samples, of 1 questions: 'q9' (1)" in str(
        check_recording(plan(), asked, recording(tmp_path, *there))
    )
    lacks = "^[^\n]*lacks 11 of 20 samples, of 10 questions: 'q0' \\(1\\)[^\n]*$"
    with pytest.raises(IncompleteRecording, match=lacks):
        check_recording(plan(2), asked, recording(tmp_path, *there))
    assert check_recording(plan(2), asked, recording(tmp_path, *there, max_error_share=0.6))
    with pytest.raises(IncompleteRecording, match="lacks 10 of 10"):
        check_recording(plan(), asked, recording(tmp_path, "another", max_error_share=1))


@pytest.mark.parametrize(
    ("failed", "share", "ends"), [(0, 0.2, False), (20, 0.2, False), (21, 0.2, True), (100, 1, True)]
)
def test_failed_requests_end_a_stage_with_the_first_reason(failed: int, share: float, ends: bool) -> None:
    reason = "no chat template, see https://huggingface.co/docs/transformers/main/en/chat_templating"
    stats = SamplingStats(samples=100, reasons=Counter(engine_error=failed), error=reason)
    if not ends:
        return check_errors("synthesis", stats, share)
    with pytest.raises(EngineError, match=f"^synthesis: {failed} of 100 samples could not be generated .*{reason}"):
        check_errors("synthesis", stats, share)
