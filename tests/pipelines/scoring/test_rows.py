"""Scores of many rows: paid for once, resumed, refused in one line; what must hold between teacher, student, trainer.

A pool that breaks when it is told to stands for the engines; the real ones are in tests/pipelines/recipes/opd and
tests/actors/engine.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from raydistill.actors.engine.requests import Scored, ScoreRequest
from raydistill.actors.errors import EngineError, TrainingError, UsageError
from raydistill.actors.segments import read_segments
from raydistill.pipelines.config.sections import EngineConfig, Execution, SamplingConfig
from raydistill.pipelines.data.records import TokenIds
from raydistill.pipelines.sampling.prompter import Prompter
from raydistill.pipelines.sampling.sampler import Sampler
from raydistill.pipelines.scoring.preflight import check_gap, check_same_tokens, gap
from raydistill.pipelines.scoring.rows import row_key, score_rows, scores_folder
from raydistill.pipelines.tasks import LoadedQuestions, task_for
from tests.pipelines.training.answer_tokenizers import build
from tests.tiny import TEMPLATE, pad_vocabulary, write_tiny_model

ROWS = [TokenIds((1, 2, number), tuple(range(10, 14 + number % 3))) for number in range(200)]


class BreakingPool:
    """Scores rows until it has been asked for `until` of them; the first `fails` calls fail."""

    def __init__(self, *, until: int = 1000, fails: int = 0) -> None:
        self.asked: list[str] = []
        self.until, self.fails = until, fails

    async def call(self, method: str, requests: list[ScoreRequest]) -> list[Scored]:
        assert method == "score"
        if len(self.asked) >= self.until:
            raise EngineError("all members died")
        self.asked += [request.id for request in requests]
        await asyncio.sleep(0.05)
        self.fails -= 1
        error = "too long" if self.fails >= 0 else ""
        return [Scored(r.id, "e", () if error else tuple(-0.5 for _ in r.completion), error=error) for r in requests]


@pytest.fixture
def model(tiny_model: str) -> EngineConfig:
    return EngineConfig(model=tiny_model, dtype="float32")


def sampler(folder: Path, pool: BreakingPool, patch: pytest.MonkeyPatch) -> Sampler:
    made = Sampler(str(folder), Execution(), None, None)
    patch.setattr(made, "use_engines", lambda title, model: pool)
    return made


def test_a_row_is_paid_for_once(tmp_path: Path, model: EngineConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = BreakingPool(until=80)
    ctx = sampler(tmp_path, broken, monkeypatch)
    with pytest.raises(EngineError, match="all members died"):
        score_rows(ctx, "scores", model, ROWS, name="n")
    folder = scores_folder(ctx, model, "n", 0)
    stored = {row["key"] for table in read_segments(folder) for row in table.to_pylist()}
    assert 0 < len(stored) < len(ROWS)
    whole = BreakingPool()
    found = score_rows(sampler(tmp_path, whole, monkeypatch), "scores", model, [*ROWS, ROWS[0]], name="n")
    assert set(whole.asked) == {row_key(row) for row in ROWS} - stored and len(whole.asked) == len(set(whole.asked))
    assert [told and len(told.logprobs) for told in found.scores] == [len(r.completion) for r in [*ROWS, ROWS[0]]]
    again = score_rows(sampler(tmp_path, BreakingPool(until=0), monkeypatch), "scores", model, ROWS, name="n")
    assert again.scores == found.scores[:-1] and again.asked == 0


def test_scores_of_other_weights_are_others(tmp_path: Path, model: EngineConfig, monkeypatch: Any) -> None:
    """Also where a folder was written anew: it is known by what is in it."""
    copy = Path(copytree(model.model, tmp_path / "model"))
    ctx = sampler(tmp_path, BreakingPool(), monkeypatch)
    told = model.model_copy(update={"model": str(copy)})
    before = scores_folder(ctx, told, "n", 0)
    assert before == scores_folder(ctx, model, "n", 0) != scores_folder(ctx, model, "n", 8)
    write_tiny_model(copy, seed=5)
    assert scores_folder(ctx, told, "n", 0) != before


def test_rows_that_fail_are_none_and_too_many_end_it(tmp_path: Path, model: EngineConfig, monkeypatch: Any) -> None:
    few = score_rows(sampler(tmp_path, BreakingPool(fails=1), monkeypatch), "scores", model, ROWS, name="few")
    assert few.scores.count(None) == 8 and few.error == "too long"
    with pytest.raises(EngineError, match=r"scores: 48 of 200 rows could not be scored .* because: too long"):
        score_rows(sampler(tmp_path, BreakingPool(fails=6), monkeypatch), "scores", model, ROWS, name="many")


def test_log_probabilities_are_of_what_is_sampled(tmp_path: Path, model: EngineConfig, monkeypatch: Any) -> None:
    """vLLM's default precedes temperature and top-p."""
    ctx, loaded = sampler(tmp_path, BreakingPool(), monkeypatch), LoadedQuestions(task_for("gsm8k"), [])
    asked = Prompter(lambda question: [], lambda text, form: text, "1")
    plain, told = (ctx.job(model, loaded, SamplingConfig(), prompter=asked, logprobs=on) for on in (False, True))
    assert plain.key != told.key and told.plan.sampling.logprobs == 0
    cold = SamplingConfig(temperature=0.7)
    with pytest.raises(UsageError, match="at temperature 0.7 and top_p 1: expected 1 and 1, or"):
        ctx.job(model, loaded, cold, prompter=asked, logprobs=True)
    processed = model.model_copy(update={"options": {"logprobs_mode": "processed_logprobs"}})
    assert ctx.job(processed, loaded, cold, prompter=asked, logprobs=True)


def test_teacher_and_student_have_the_same_tokens(tiny_model: str, tmp_path: Path) -> None:
    padded = pad_vocabulary(Path(copytree(tiny_model, tmp_path / "padded")), rows=24)
    check_same_tokens(str(padded), None, tiny_model, None)
    ends = Path(copytree(tiny_model, tmp_path / "ends"))
    (ends / "chat_template.jinja").write_text(TEMPLATE.replace("{{ eos_token }}", "<pad>"))
    with pytest.raises(UsageError, match="end a turn with different tokens .*<pad> and <eos>"):
        check_same_tokens(str(ends), None, tiny_model, None)
    other = Path(copytree(tiny_model, tmp_path / "other"))
    build("digits_split").save_pretrained(other)
    with pytest.raises(UsageError, match="have different tokenizers .*expected a teacher of the student's family"):
        check_same_tokens(str(other), None, tiny_model, None)


def test_a_gap_above_rounding_is_one_line() -> None:
    found = gap([(-1.0, -2.0)], [(-1.0, -2.5)])
    assert (found.tokens, found.mean, found.largest) == (2, 0.25, 0.5)
    with pytest.raises(TrainingError, match=r"engine and trainer differ by 0.25 nats per token \(largest 0.5\)"):
        check_gap(found, "float32", "engine and trainer")
    near = gap([(-1.0,)], [(-1.05,)])
    assert check_gap(near, "auto", "they") == near
    with pytest.raises(TrainingError):
        check_gap(near, "float32", "they")
