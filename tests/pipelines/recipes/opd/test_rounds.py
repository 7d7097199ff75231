"""Rounds of on-policy distillation with real engines over tiny models: one pool, whose weights change in place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from raydistill.actors.errors import TrainingError
from raydistill.actors.segments import read_segments
from raydistill.pipelines.config.sections import EngineConfig, Lora, Train
from raydistill.pipelines.context import RunContext
from raydistill.pipelines.data.examples import read_examples
from raydistill.pipelines.data.records import Example, Sample, TokenIds
from raydistill.pipelines.recipes.opd.config import OPD
from raydistill.pipelines.recipes.opd.fault_lines import fault_lines
from raydistill.pipelines.recipes.opd.judged import Actors
from raydistill.pipelines.recipes.opd.recipe import OnPolicyDistillation
from raydistill.pipelines.recipes.opd.rounds import collect_round
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.scoring.preflight import trainer_logprobs
from raydistill.pipelines.tasks import load_questions
from tests.actors.engine.test_engine import write_adapter
from tests.tiny import write_tiny_model


def sections(root: Path, teacher: str, student: str, questions: Path, **recipe: Any) -> dict[str, Any]:
    return {
        "run_dir": str(root),
        "questions": {"task": "table", "path": str(questions), "grader": "numeric"},
        "teacher": {"model": teacher, "dtype": "float32", "max_model_len": 256, "kv_cache_gb": 0.25, "max_tokens": 12},
        "student": {"max_lora_rank": 8},
        "execution": {"cpus": 0.5},
        "recipe": {"recipe": "opd", "cold_start": None, "samples": 2, **recipe},
        "train": {
            "student": student,
            "learning_rate": 1e-3,
            "batch_tokens": 400,
            "micro_batch_tokens": 400,
            "precision": "float32",  # as the engines, whose log-probabilities are compared with the trainer's
        },
    }


@pytest.fixture(scope="module")
def ctx(
    cluster: None, tiny_model: str, other_weights: str, questions_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunContext]:
    root = tmp_path_factory.mktemp("opd")
    config = Run.model_validate(sections(root, other_weights, tiny_model, questions_file))
    made = RunContext(config, None)
    assert config.questions
    made.questions = load_questions(config.questions)
    yield made
    made.close()


def engine(model: str, adapter: str | None = None) -> EngineConfig:
    settings = {"dtype": "float32", "max_model_len": 256, "kv_cache_gb": 0.25, "max_lora_rank": 8, "max_num_seqs": 256}
    return EngineConfig.model_validate({"model": model, "adapter": adapter, **settings})


def collect(
    ctx: RunContext, student: EngineConfig, teacher: EngineConfig, number: int = 1, routed: Any = (), **settings: Any
) -> Any:
    """The examples of a round, and its account."""
    config = OPD.model_validate({"cold_start": None, "samples": 2, **settings})
    lora = Lora(rank=4) if student.adapter else None
    trained = Train(student=student.model, lora=lora)
    actors = Actors(student, teacher, trained, student.adapter, routed)
    found, account = collect_round(ctx, config, OnPolicyDistillation(config).student, actors, number, None)
    return list(read_examples(found.folder)), account


def largest(examples: list[Example]) -> float:
    """The largest advantage; samples whose tokens have none are no examples."""
    advantages = [abs(value) for example in examples if example.policy for value in example.policy.advantages]
    return max(advantages, default=0.0)


def test_a_teacher_that_is_the_student_moves_nothing(
    ctx: RunContext, tiny_model: str, other_weights: str, tmp_path: Path
) -> None:
    """With full weights and an adapter, before and after a change of weights in place; another teacher moves much."""
    adapter = write_adapter(tiny_model, tmp_path / "adapter")
    for student in (engine(tiny_model), engine(other_weights), engine(tiny_model, adapter)):
        examples, account = collect(ctx, student, student)
        assert account["samples"] == 24 and account["score_minus_sampled"]["largest"] < 1e-3
        assert account["scored_tokens"] == account["sampled_tokens"] > 0  # of all samples
        assert largest(examples) < 1e-3 and abs(account["reverse_kl"]) < 1e-3
        assert account["trainer_minus_engine"]["largest"] < 1e-3
    examples, account = collect(ctx, engine(tiny_model), engine(other_weights))
    assert largest(examples) > 0.1 and account["reverse_kl"] > 0.1 and account["advantage"] < 0


def test_advantages_are_the_teachers_direct_forward_less_what_was_sampled(
    ctx: RunContext, tiny_model: str, other_weights: str
) -> None:
    examples, account = collect(ctx, engine(tiny_model), engine(other_weights), most=3)
    assert account["on_policy"] == account["examples"] == len(examples) == 24
    rows = [example.tokens for example in examples[:3] if example.tokens]
    direct = trainer_logprobs(Train(student=other_weights), rows)
    for example, teacher in zip(examples, direct, strict=False):
        assert example.policy and example.policy.teacher == pytest.approx(teacher, abs=1e-3)
        expected = [max(-3, min(3, t - b)) for t, b in zip(teacher, example.policy.behaviour, strict=True)]
        assert example.policy.advantages == pytest.approx(expected, abs=1e-3)


def test_each_rows_scores_are_of_the_teacher_that_its_question_is_routed_to(
    ctx: RunContext, tiny_model: str, other_weights: str
) -> None:
    loaded, teachers = ctx.questions, {"even": other_weights, "odd": tiny_model}
    noted = [question.noting(kind=["even", "odd"][place % 2]) for place, question in enumerate(loaded.questions)]
    kinds = {question.id: question.meta["kind"] for question in noted}
    ctx.questions = replace(loaded, questions=noted)
    try:
        routed = (({"kind": "even"}, engine(other_weights)),)
        examples, account = collect(ctx, engine(tiny_model), engine(tiny_model), 4, routed)
    finally:
        ctx.questions = loaded
    assert account["teachers"] == {tiny_model: 12, other_weights: 12}
    for kind, model in teachers.items():
        some = [example for example in examples if kinds[example.question_id] == kind][:2]
        direct = trainer_logprobs(Train(student=model), [example.tokens for example in some if example.tokens])
        for example, scores in zip(some, direct, strict=True):
            assert example.policy and example.policy.teacher == pytest.approx(scores, abs=1e-3)


def rows(folder: str) -> list[Any]:
    return [row for path in Path(folder).glob("*") for table in read_segments(str(path)) for row in table.to_pylist()]


def test_a_round_is_paid_for_once(ctx: RunContext, tiny_model: str, other_weights: str) -> None:
    """With other weights of the verdicts, too: samples and scores are there."""
    first, _ = collect(ctx, engine(tiny_model), engine(other_weights), 2)
    drawn, scores = rows(f"{ctx.root}/completions"), list(Path(f"{ctx.root}/scores").rglob("*.parquet"))
    again, _ = collect(ctx, engine(tiny_model), engine(other_weights), 2)
    more, account = collect(ctx, engine(tiny_model), engine(other_weights), 2, reward=0.5, error_weight=0.5)
    assert again == first and {e.source for e in more} == {e.source for e in first} and account["scored_tokens"] == 0
    assert rows(f"{ctx.root}/completions") == drawn
    assert list(Path(f"{ctx.root}/scores").rglob("*.parquet")) == scores


def test_a_student_with_the_solution_before_it_is_its_own_teacher(
    ctx: RunContext, tiny_model: str, other_weights: str
) -> None:
    student = engine(tiny_model)
    examples, account = collect(ctx, student, student, privileged="solution")
    assert largest(examples) > 0.01 and account["teachers"] == {tiny_model: 24}
    prompts = {example.tokens.prompt for example in examples if example.tokens}
    plain, _ = collect(ctx, student, engine(other_weights))
    assert prompts == {example.tokens.prompt for example in plain if example.tokens}
    assert not any("correct solution" in str(example.messages) for example in examples)


def test_the_likeliest_tokens_come_as_soft_targets(ctx: RunContext, tiny_model: str, other_weights: str) -> None:
    examples, _ = collect(ctx, engine(tiny_model), engine(other_weights), top_k=8)
    for example in examples:
        assert example.soft_targets and example.tokens and not example.policy
        assert len(example.soft_targets.ids) == len(example.tokens.completion) and len(example.soft_targets.ids[0]) == 8


def half_written(folder: Path, other: str) -> None:
    """Give a model the second of its layers from another, as a copy that was cut off would have it."""
    from transformers import AutoModelForCausalLM

    model, taken = (AutoModelForCausalLM.from_pretrained(name) for name in (folder, other))
    model.model.layers[1].load_state_dict(taken.model.layers[1].state_dict())
    model.save_pretrained(folder)


@pytest.mark.parametrize(("part", "number"), [("all", 3), ("a layer", 5)])  # rounds of their own: nothing is stored
def test_weights_that_were_written_anew_under_the_same_path_are_found(
    part: str, number: int, ctx: RunContext, tiny_model: str, other_weights: str, tmp_path: Path
) -> None:
    """The engine compares paths and keeps what it has; its samples are not the trainer's model's then."""
    path = Path(copytree(tiny_model, tmp_path / "student"))
    student = engine(str(path))
    collect(ctx, student, student, number)
    if part == "all":
        write_tiny_model(path, seed=9)
    else:
        half_written(path, other_weights)
    with pytest.raises(TrainingError, match="trainer's .* differ by .* they are not the same weights"):
        collect(ctx, student, student, number)


def test_lines_of_faults_are_told_by_the_sandbox(ctx: RunContext) -> None:
    programs = {
        "exception:NameError": ("def solution():\n    a = 3\n    return a + missing\n", 3),
        "exception:ZeroDivisionError": ("def half(x):\n    return x / 0\n\ndef solution():\n    return half(3)\n", 2),
        "syntax": ("def solution():\n    return 3 +\n", 2),
        "wrong_answer": ("def solution():\n    return 3\n", None),
    }
    detail = "SyntaxError: invalid syntax (line 2)"
    samples = [
        Sample(reason, "q", 0, text, text, "failed", reason, "", 1, 1, "stop", 0, detail=detail)
        for reason, (text, _) in programs.items()
    ]
    ctx.executors.start()
    assert fault_lines(ctx, samples) == {reason: line for reason, (_, line) in programs.items() if line}


def test_ids_are_what_the_engine_had(ctx: RunContext, tiny_model: str, other_weights: str) -> None:
    from transformers import AutoTokenizer

    from raydistill.actors.engine.rendering import prompt_ids
    from raydistill.actors.engine.requests import Request

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    examples, _ = collect(ctx, engine(tiny_model), engine(other_weights))
    assert examples
    for example in examples:
        assert isinstance(example.tokens, TokenIds)
        assert list(example.tokens.prompt) == prompt_ids(tokenizer, Request("", example.messages))
