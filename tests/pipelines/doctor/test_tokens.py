"""Planted faults of tokens and questions: each is found by its own check, and by no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from raydistill.pipelines.data.examples import write_examples
from raydistill.pipelines.data.records import Example, WeightedText
from raydistill.pipelines.doctor.findings import Finding
from raydistill.pipelines.doctor.questions import contamination, models, questions
from raydistill.pipelines.doctor.registry import found_by
from raydistill.pipelines.doctor.tokens import lengths, prompts_alike, stop_token, trained_share, vocabulary
from tests.pipelines.data.test_gate import LONG
from tests.pipelines.doctor.conftest import ASKED, Make
from tests.tiny import OWN_SYSTEM, TEMPLATE, make_opinionated, pad_vocabulary

ALL = (models, questions, contamination, stop_token, trained_share, vocabulary, lengths, prompts_alike)
Copy = Callable[[], Path]


@pytest.fixture
def copy(tiny_model: str, tmp_path: Path) -> Copy:
    """Makes a copy of the tiny model, to be spoilt."""
    return lambda: Path(copytree(tiny_model, tmp_path / "model"))


def trouble(checkup: Any) -> dict[str, str]:
    """What is not well, by what it is about."""
    found = [one for check in ALL for one in found_by(check.__name__, check(checkup))]
    assert all(one.remedy for one in found if one.status in ("warn", "fail"))
    return {one.about: one.status for one in found if one.status in ("warn", "fail")}


def only(findings: Any) -> Finding:
    (found,) = findings
    return found


def test_a_sound_run_has_no_trouble(make: Make) -> None:
    assert trouble(make()) == {}


def test_a_template_that_drops_the_stop_token(make: Make, copy: Copy) -> None:
    (copied := copy()).joinpath("chat_template.jinja").write_text(TEMPLATE.replace("{{ eos_token }}", ""))
    checkup = make(train={"student": str(copied)})
    assert trouble(checkup) == {"stop token": "warn"}
    assert "ends no assistant's turn" in only(stop_token(checkup)).said


def test_all_tokens_masked(make: Make, tmp_path: Path) -> None:
    checkup = make()
    chat = ({"role": "user", "content": "What is 3 plus 3?"},)
    masked = [Example(f"e{n}", f"q{n}", chat, (WeightedText("It is 6.", 0.0),)) for n in range(3)]
    write_examples(masked, str(tmp_path / "run" / "examples" / "abc"))
    assert trouble(checkup) == {"stop token": "fail", "trained tokens": "fail"}
    assert "3 of 3 examples have none" in only(trained_share(checkup)).said


def test_a_vocabulary_of_another_model(make: Make, copy: Copy) -> None:
    settings = (copied := copy()) / "config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"vocab_size": 100}))
    assert trouble(make(train={"student": str(copied)})) == {"vocabulary": "fail"}


def test_rows_that_are_no_tokens_are_told(make: Make, copy: Copy) -> None:
    found = only(vocabulary(make(train={"student": str(pad_vocabulary(copy(), rows=24))})))
    assert found.status == "ok" and "24 of them padding" in found.said


@pytest.mark.parametrize(("most", "status"), [(8, "fail"), (40, "fail"), (64, None)])
def test_a_length_below_most_examples(make: Make, most: int, status: str | None) -> None:
    checkup = make(train={"max_length": most})
    assert trouble(checkup) == ({"lengths": status} if status else {}), only(lengths(checkup)).said


def test_a_system_prompt_in_service_only(make: Make, tiny_model: str, tmp_path: Path) -> None:
    student = Path(copytree(tiny_model, tmp_path / "run" / "student"))
    checkup = make(train={"lora": {"rank": 4}})
    assert trouble(checkup) == {}
    make_opinionated(student)
    assert trouble(checkup) == {"prompts": "fail"}
    found = only(prompts_alike(checkup))
    assert found.said.startswith("service says") and OWN_SYSTEM.strip() in found.said


def test_a_system_prompt_everywhere_is_no_trouble(make: Make, copy: Copy, tmp_path: Path) -> None:
    base = make_opinionated(copy())
    copytree(base, tmp_path / "run" / "student")
    checkup = make(train={"student": str(base)})
    assert trouble(checkup) == {} and OWN_SYSTEM in only(prompts_alike(checkup)).said


@pytest.mark.parametrize(
    ("held_out", "setting", "status", "left"),
    [
        ([*ASKED[:6], "Who is it?"], "auto", "warn", len(ASKED) - 6),
        (["what is 3 PLUS 3"], "auto", "warn", len(ASKED) - 1),
        (["what is 3 PLUS 3"], "off", "fail", len(ASKED)),
        ([LONG], "off", None, len(ASKED)),
    ],
)
def test_a_contaminated_test_set(make: Make, held_out: list[str], setting: str, status: str | None, left: int) -> None:
    questions_ = [{"question": text, "answer": "6"} for text in held_out]
    checkup = make(held_out, evaluation={"decontamination": setting})
    assert questions_ and trouble(checkup) == ({"contamination": status} if status else {})
    assert len(checkup.asked) == left


def test_a_test_set_that_is_the_training_set(make: Make) -> None:
    assert trouble(make(ASKED))["questions"] == "fail"


def test_a_model_that_is_not_there(make: Make) -> None:
    assert trouble(make(train={"student": "./nowhere"}))["models"] == "fail"
