"""What a token's advantage is made of: teacher, verdict, fault; and what a privileged teacher is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from raydistill.pipelines.data.records import Example, Question, Sample, TokenIds
from raydistill.pipelines.recipes.opd.advantages import group_rewards, token_advantages
from raydistill.pipelines.recipes.opd.config import OPD
from raydistill.pipelines.recipes.opd.fault_lines import fault_token, line_begin
from raydistill.pipelines.recipes.opd.judged import Judged, round_examples
from raydistill.pipelines.recipes.opd.privileged import privileged_row
from raydistill.pipelines.recipes.opd.recipe import OnPolicyDistillation
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.scoring.rows import TokenScores
from raydistill.pipelines.scoring.sampled import SampledTokens
from tests.pipelines.recipes.test_versions import digests
from tests.pipelines.training.answer_tokenizers import KINDS, build
from tests.tiny import TEMPLATE

BEHAVIOUR, TEACHER = (-1.0, -2.0, -0.5), (-0.5, -9.5, -0.5)
QUESTION = Question.make("t", "What is 3 plus 3?", "6", rationale="Three and three are sixfold.")
PROGRAM = "def solution():\n    a = 3\n    return a + missing\n"
TEXT = f"Here it is:\n```python\n{PROGRAM}```"


def sample(status: str = "failed", text: str = TEXT, index: int = 0) -> Sample:
    told = {"status": status, "reason": "exception:NameError", "detail": "NameError: name 'missing' is not defined"}
    return Sample(
        f"q/program/{index}", QUESTION.id, index, text, PROGRAM, value="", prompt_tokens=2, completion_tokens=3,
        finish_reason="stop", seed=0, format="program", **told,
    )  # fmt: skip


def test_a_token_that_the_teacher_finds_likelier_rises_as_far_as_it_is_held() -> None:
    told = token_advantages(BEHAVIOUR, TEACHER, OPD(most=5), reward=0, fault=None)
    assert told == (0.5, -5.0, 0.0)
    assert token_advantages(BEHAVIOUR, BEHAVIOUR, OPD(), reward=0, fault=None) == (0.0, 0.0, 0.0)
    assert token_advantages(BEHAVIOUR, TEACHER, OPD(distillation=0, reward=1), reward=0.5, fault=None) == (0.5,) * 3


def test_a_group_of_equal_verdicts_gives_no_reward() -> None:
    assert group_rewards(["passed", "failed"]) == [1.0, -1.0]
    assert group_rewards(["passed"] * 3) == group_rewards(["failed"] * 3) == [0.0] * 3
    assert group_rewards(["passed", "unknown"]) == [0.0, 0.0] and group_rewards(["unknown"]) == [0.0]
    some = group_rewards(["passed", "failed", "failed", "failed"])
    assert sum(some) == pytest.approx(0) and sum(value**2 for value in some) == pytest.approx(4)


def test_error_weight_lowers_tokens_from_the_fault_on_and_no_others() -> None:
    plain = token_advantages(BEHAVIOUR, TEACHER, OPD(), reward=0, fault=1)
    lowered = token_advantages(BEHAVIOUR, TEACHER, OPD(error_weight=0.25), reward=0, fault=1)
    assert lowered == (plain[0], plain[1] - 0.25, plain[2] - 0.25)
    assert token_advantages(BEHAVIOUR, TEACHER, OPD(error_weight=0.25), reward=0, fault=None) == plain


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("leading_space", "words")])
def test_the_line_of_a_fault_is_found_among_the_tokens(kind: str) -> None:
    tokenizer = build(kind)
    ids = tuple(tokenizer(TEXT, add_special_tokens=False).input_ids)
    place = fault_token(tokenizer, SampledTokens(sample(), TokenIds((1,), ids), ()), 3)
    assert place is not None
    before, upto = tokenizer.decode(ids[:place]), tokenizer.decode(ids[: place + 1])
    begin = TEXT.index("return a + missing")
    assert len(before) <= begin < len(upto)


def test_a_trained_example_is_lowered_from_the_failing_line_on() -> None:
    """Of a program that fails in its last line: neither the text in front of it nor the lines above are lowered."""
    tokenizer, config = build(KINDS[0]), OPD(error_weight=0.25)
    recipe = OnPolicyDistillation(config)
    ids = tuple(tokenizer(TEXT, add_special_tokens=False).input_ids)
    own = SampledTokens(sample(), TokenIds((1,), ids), (-1.0,) * len(ids))
    fault, told = fault_token(tokenizer, own, 3), TokenScores((-0.5,) * len(ids))
    [made] = round_examples(config, recipe.student, [Judged(QUESTION, own, told, 0, fault)], 1)
    assert made.policy and {*made.policy.advantages} == {0.5, 0.25}
    lowered = [place for place, value in enumerate(made.policy.advantages) if value == 0.25]
    assert lowered == list(range(lowered[0], len(ids)))
    assert tokenizer.decode(ids[lowered[0] :]).lstrip() == TEXT[TEXT.index("return a + missing") :]


def test_a_line_that_is_not_in_the_text_is_none() -> None:
    assert line_begin(TEXT, PROGRAM, 9) is None and line_begin("elsewhere", PROGRAM, 3) is None
    assert line_begin("x = 1\nreturn a + missing", PROGRAM, 3) == 6  # put together of several pieces


@pytest.mark.parametrize("kind", ["solution", "message"])
def test_what_a_privileged_teacher_is_shown_is_not_trained(kind: str) -> None:
    tokenizer: Any = build(KINDS[0])
    tokenizer.chat_template = TEMPLATE
    recipe = OnPolicyDistillation(OPD(privileged=kind))  # type: ignore[arg-type]
    messages = recipe.student.prompts(QUESTION)[0].messages
    own = SampledTokens(sample(), TokenIds((1, 7), (9, 8, 2)), BEHAVIOUR)
    row = privileged_row(tokenizer, kind, QUESTION, messages, own)
    assert row is not None and row.completion == own.ids.completion
    shown = {"solution": "sixfold", "message": "name 'missing' is not defined"}[kind]
    assert shown in tokenizer.decode(row.prompt)
    [made] = round_examples(recipe.config, recipe.student, [Judged(QUESTION, own, TokenScores(TEACHER), 0, None)], 1)
    assert made.tokens == own.ids and shown not in f"{made.messages} {made.meta}"
    right = replace(own, sample=sample("passed"))
    assert (privileged_row(tokenizer, kind, QUESTION, messages, right) is None) == (kind == "message")


def test_top_k_compares_distributions_and_leaves_the_advantage_to_the_verdict() -> None:
    config, recipe = OPD(top_k=2, reward=1), OnPolicyDistillation(OPD())
    told = TokenScores(TEACHER, ((7, 3),) * 3, ((-0.1, -3.0),) * 3)
    own = SampledTokens(sample(), TokenIds((1, 7), (9, 8, 2)), BEHAVIOUR)
    [made] = round_examples(config, recipe.student, [Judged(QUESTION, own, told, 0, None)], 1)
    assert made.soft_targets is not None and made.soft_targets.beta == 1 and made.policy is None
    [made] = round_examples(config, recipe.student, [Judged(QUESTION, own, told, -1, None)], 1)
    assert made.policy is not None and made.policy.advantages == (-1, -1, -1)
    still = TokenScores(BEHAVIOUR)
    assert not list(round_examples(OPD(), recipe.student, [Judged(QUESTION, own, still, 0, None)], 1))


def test_nothing_is_learned_behind_what_the_teacher_finds_unlikely() -> None:
    """TEACHER gives the second of three tokens -9.5 nats."""
    told = TokenScores(TEACHER, ((7, 3), (8, 1), (2, 4)), ((-0.1, -3.0),) * 3)
    own = SampledTokens(sample(), TokenIds((1, 7), (9, 8, 2)), BEHAVIOUR)

    def made(**settings: Any) -> Example:
        config = OPD(**settings)
        [found] = round_examples(
            config, OnPolicyDistillation(config).student, [Judged(QUESTION, own, told, 1, None)], 1
        )
        return found

    sampled, likeliest = made(until=9), made(until=9, top_k=2, reward=1)
    assert sampled.tokens == likeliest.tokens == TokenIds((1, 7), (9, 8))
    assert sampled.policy and sampled.policy.advantages == (0.5, -5.0) and sampled.policy.behaviour == BEHAVIOUR[:2]
    assert likeliest.soft_targets and likeliest.soft_targets.ids == ((7, 3), (8, 1))
    assert likeliest.policy and likeliest.policy.advantages == (1, 1)
    assert made(until=10) == made() and made().tokens == own.ids


def test_settings_that_contradict_each_other_are_one_line() -> None:
    for settings, message in (
        ({"teacher_share": 0.5, "cold_start": None}, "teacher_share needs cold_start"),
        ({"reward": 1, "samples": 1}, "set samples to 2"),
        ({"distillation": 0, "reward": 1, "until": 5}, "until reads the teacher's scores"),
        ({"distillation": 0}, "nothing to learn from"),
        ({"error_weight": 1, "target": "rationale"}, "set target to program"),
        ({"clip": [1, 0.2]}, "clip has two parts"),
    ):
        with pytest.raises(ValidationError, match=message):
            OPD.model_validate(settings)
    recorded = {"questions": {"task": "gsm8k"}, "teacher": {"engine": "recorded", "model": "a"}}
    with pytest.raises(ValidationError, match="expected teacher.engine vllm, or"):
        Run.model_validate(recorded | {"recipe": {"recipe": "opd"}})
    assert Run.model_validate(recorded | {"recipe": {"recipe": "opd", "privileged": "solution"}})


def test_what_is_asked_and_read_changes_with_its_version_alone() -> None:
    """Otherwise raise the version, then write what `digests` gives here."""
    found: dict[str, str] = {}
    for config in (OPD(), OPD(target="rationale"), OPD(prompt="few_shot")):
        found |= digests(OnPolicyDistillation(config).teacher) | digests(OnPolicyDistillation(config).student)
    assert found == {
        "asked opd-program-instruct/1": "1c9e197be58d14ef",
        "read 2 of opd-program-instruct as program": "f9e204abf152154b",
        "asked opd-program/1": "37ebee3b0150a120",
        "read 2 of opd-program as program": "f9e204abf152154b",
        "asked opd-rationale-instruct/1": "3cf5364658a83671",
        "read 2 of opd-rationale-instruct as rationale": "d6b6a96f091c5a5b",
        "asked opd-rationale/1": "958f76c3dce2dab6",
        "read 2 of opd-rationale as rationale": "d6b6a96f091c5a5b",
        "asked opd-program-few_shot/1": "11872a60e61acdbf",
        "read 2 of opd-program-few_shot as program": "f9e204abf152154b",
    }
