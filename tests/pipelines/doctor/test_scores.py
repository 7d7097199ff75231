"""What the doctor says of scores: of who gives them, of top-k, and of engines beside trainer and model on disk."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from raydistill.actors.pool import Pool
from raydistill.pipelines.doctor import engines, scores
from tests.actors.engine.test_engine import write_adapter
from tests.pipelines.doctor.conftest import Make
from tests.pipelines.doctor.test_engines import on, statuses
from tests.pipelines.training.answer_tokenizers import build
from tests.tiny import TEMPLATE, pad_vocabulary, write_tiny_model

OPD = {"recipe": "opd", "cold_start": None}


def found(findings: Any) -> Any:
    [one] = findings
    return one


def test_runs_without_scores_have_nothing_to_look_at(make: Make) -> None:
    assert [one.status for one in (*scores.same_tokens(make()), *scores.same_scores(make()))] == ["skipped", "skipped"]


@pytest.mark.parametrize("asks", ["opd", "soft targets"])
def test_teacher_and_student_speak_of_the_same_tokens(asks: str, make: Make, tiny_model: str, tmp_path: Path) -> None:
    def looked_at(teacher: Path | str, top_k: int = 4, **settings: Any) -> Any:
        sections: dict[str, Any] = {"teacher": {"model": str(teacher), **settings}}
        if asks == "opd":
            return found(scores.same_tokens(make(recipe={**OPD, "top_k": top_k}, **sections)))
        return found(scores.same_tokens(make(train={"soft_targets": {"top_k": top_k}}, **sections)))

    assert looked_at(tiny_model).status == "ok" and "same 3" in looked_at(tiny_model).said
    ends = Path(copytree(tiny_model, tmp_path / "ends"))
    (ends / "chat_template.jinja").write_text(TEMPLATE.replace("{{ eos_token }}", "<pad>"))
    other = looked_at(ends)
    assert other.status == "fail" and "end a turn with different tokens" in other.said and "template" in other.remedy
    cuts = Path(copytree(tiny_model, tmp_path / "cuts"))
    build("digits_split").save_pretrained(cuts)
    assert looked_at(cuts).status == "fail" and "different tokenizers" in looked_at(cuts).said
    padded = looked_at(pad_vocabulary(Path(copytree(tiny_model, tmp_path / "padded")), rows=24))
    assert padded.status == "warn" and "may be a row that the student has not" in padded.said
    few = looked_at(tiny_model, options={"max_logprobs": 3})
    assert few.status == "fail" and "4 likeliest tokens, and its engine tells at most 3" in few.said


def test_padding_is_none_of_the_sampled_tokens(make: Make, tiny_model: str, tmp_path: Path) -> None:
    padded = pad_vocabulary(Path(copytree(tiny_model, tmp_path / "padded")), rows=24)
    one = found(scores.same_tokens(make(recipe=OPD, teacher={"model": str(padded)})))
    assert one.status == "ok" and "rows, the others padding" in one.said


def test_scores_are_those_of_forward_pass_and_trainer(pool: Pool, make: Make, tiny_model: str) -> None:
    checkup = on(pool, make(recipe=OPD))
    told = list(scores.same_scores(checkup))
    assert statuses(told) == {f"scores of {tiny_model}": "ok", "trainer's log-probabilities": "ok"}
    assert all("differ by" in one.said and "on average" in one.said and "at most" in one.said for one in told)


def test_a_scorer_with_other_weights_than_on_disk(pool: Pool, make: Make, other_weights: str) -> None:
    checkup = on(pool, make(recipe=OPD, teacher={"model": other_weights}))
    told = {one.about: one for one in scores.same_scores(checkup)}
    wrong = told[f"scores of {other_weights}"]
    assert wrong.status == "fail" and "on average is rounding" in wrong.said and "other weights" in wrong.remedy


def test_a_student_that_was_written_anew_under_its_path(
    pool: Pool, make: Make, tiny_model: str, tmp_path: Path
) -> None:
    """The engine has what stood there before, and training would start from what stands there now."""
    student = Path(copytree(tiny_model, tmp_path / "student"))
    checkup = on(pool, make(recipe=OPD, train={"student": str(student)}))
    pool.start(weights=str(student))
    write_tiny_model(student, seed=9)
    try:
        told = {one.about: one for one in scores.same_scores(checkup)}["trainer's log-probabilities"]
    finally:
        pool.start(weights=tiny_model)
    assert told.status == "fail" and "those of the trainer differ" in told.said


def test_without_memory_it_is_skipped_aloud(pool: Pool, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "free_bytes", lambda: 0)
    assert {one.status for one in scores.same_scores(on(pool, make(recipe=OPD)))} == {"skipped"}


def test_who_scores_is_known_by_model_and_adapter(make: Make, tiny_model: str, tmp_path: Path) -> None:
    adapter = write_adapter(tiny_model, tmp_path / "adapter")
    soft = {"soft_targets": {"top_k": 8}}
    checkup = make(recipe={"recipe": "opd"}, teacher={"model": adapter}, train=soft)
    assert [(model.adapter, top_k) for model, top_k in scores.scorers(checkup)] == [(adapter, 8)]
