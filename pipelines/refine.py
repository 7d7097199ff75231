"""Self-refinement in a run: the examples of the second task, and the repairs of an evaluation.

    verified programs --break, run--> triples --.
    first student's failing programs --run-----> triples --> with the examples of the first task: the training set

Both are passes like any other (`pipelines.synthesis`): what was generated or run is stored under a key and resumed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from actors.requests import Sampling
from actors.segments import read_bytes, read_segments, remove
from pipelines import report
from pipelines.asking import Asking
from pipelines.config import Engine, Refine, SamplingConfig
from pipelines.example_store import read_examples, write_examples
from pipelines.extract import extract_program
from pipelines.records import Question, content_hash
from pipelines.repair import (
    NOT_REPAIRABLE,
    FaultWriter,
    InjectedFaults,
    OwnFailures,
    Repair,
    feedback,
    repair_question,
)
from pipelines.synthesis import Pass, PassResult
from pipelines.tasks import LoadedQuestions
from pipelines.workplace import Workplace

Outcomes = dict[str, tuple[list[str], list[str]]]  # by question id: statuses and values of its samples
Owners = dict[str, list[tuple[Question, int]]]  # by sample id: the questions and places of samples it answers for


def add_repairs(
    work: Workplace, config: Refine, examples: str, loaded: LoadedQuestions, student: Engine | None
) -> tuple[str, dict[str, Any]]:
    """The folder of `examples` and of the repair examples made from them, and an account of the latter.

    `student` is the engine of the first student, whose failures are learned from where `config.own_samples` asks.
    """
    limits = work.config.execution.model_dump(include={"cpu_s", "wall_s", "memory_mb", "minimum_grade"})
    key = content_hash(Path(examples).name, config.model_dump(exclude={"repairs"}), limits)
    folder = f"{work.root}/examples/{key}"
    if done := read_bytes(f"{folder}/summary.json"):
        return folder, json.loads(done)
    remove(folder)
    programs = list(_programs(examples, loaded))
    passes: dict[str, PassResult] = {}
    if config.faults_per_program:
        passes["injected"] = _inject(work, config, programs, loaded, f"{folder}/injected")
    if student and config.own_samples:
        passes["own"] = _learn_from_own(work, config, programs, loaded, student, f"{folder}/own")
    made = [e for name, result in passes.items() if result.examples for e in read_examples(f"{folder}/{name}")]
    both = sorted([*read_examples(examples), *made], key=lambda example: example.id)
    write_examples(both, folder)
    summary: dict[str, Any] = {
        "examples": len(both),
        "repairs": dict(Counter(str(example.meta["fault"]) for example in made)),
        **{name: {"samples": result.samples, "dropped": result.dropped} for name, result in passes.items()},
    }
    for name in passes:
        remove(f"{folder}/{name}")
    if not any(result.statuses["unknown"] for result in passes.values()):
        report.write_json(f"{folder}/summary.json", summary)
    return folder, summary


def _programs(examples: str, loaded: LoadedQuestions) -> Iterator[Question]:
    """Each verified program as a question that carries it."""
    questions = {question.id: question for question in loaded.questions}
    for example in read_examples(examples):
        question, program = questions[example.question_id], extract_program(example.text)
        if program:
            yield repair_question(question, program, "", question_id=question.id)


def _inject(
    work: Workplace, config: Refine, programs: Sequence[Question], loaded: LoadedQuestions, folder: str
) -> PassResult:
    key = content_hash("faults", config.seed)
    recipe = InjectedFaults(config)
    asking = Asking(recipe, Sampling(), n=1, seed=config.seed, purpose=key)
    verdicts = work.verdicts_key(key, loaded.task, recipe)
    plan = Pass(asking, loaded.task, f"{work.root}/completions/{key}", f"{work.root}/verdicts/{verdicts}", folder)
    return work.run("breaking programs", plan, programs, FaultWriter())


def _learn_from_own(
    work: Workplace,
    config: Refine,
    programs: Sequence[Question],
    loaded: LoadedQuestions,
    student: Engine,
    folder: str,
) -> PassResult:
    first = {str(program.meta["question_id"]): program for program in reversed(programs)}
    questions = [q.noting(**first[q.id].meta) for q in loaded.questions if q.id in first]
    sampling = SamplingConfig(
        n=config.own_samples,
        temperature=config.own_temperature,
        max_tokens=work.config.teacher.max_tokens,
        seed=config.seed,
    )
    plan, _ = work.plan(student, loaded, sampling, student=True)
    asking = replace(plan.asking, recipe=OwnFailures(plan.asking.recipe, config.max_own))
    return work.run("the student's own failures", replace(plan, asking=asking, examples=folder), questions, student)


def repair_outcomes(
    work: Workplace, plan: Pass, loaded: LoadedQuestions, outcomes: Outcomes, model: Engine, repairs: int
) -> Outcomes:
    """`outcomes` of `plan`, where programs that failed to run are replaced by up to `repairs` repairs of them.

    Each repair is run. One that gives a value is final: whether the value is right nobody knows at inference.
    """
    repaired = {question_id: (list(statuses), list(values)) for question_id, (statuses, values) in outcomes.items()}
    owners = {
        sample_id: [(question, place)]
        for question in loaded.questions
        for place, sample_id in enumerate(plan.asking.sample_ids(question))
    }
    sampling = SamplingConfig(
        n=1,
        temperature=plan.asking.sampling.temperature,
        max_tokens=plan.asking.sampling.max_tokens,
        seed=plan.asking.seed,
    )
    for number in range(1, repairs + 1):
        tasks, owners = _to_repair(plan.verdicts, owners)
        if not tasks:
            break
        plan, _ = work.plan(model, loaded, sampling, student=True, recipe=Repair())
        result = work.run(f"repair {number}", plan, tasks, model, keep_outcomes=True)
        for task in tasks:
            (status,), (value,) = result.outcomes[task.id]
            for question, place in owners[plan.asking.sample_ids(task)[0]]:
                statuses, values = repaired[question.id]
                statuses[place], values[place] = status, value
    return repaired


def _to_repair(verdicts: str, owners: Owners) -> tuple[list[Question], Owners]:
    """The repairs to ask for of the programs in `verdicts` that failed to run, and whose outcomes they replace.

    Samples of a question that failed alike share one.
    """
    tasks: dict[str, Question] = {}
    owned: Owners = {}
    asking = Repair()
    for table in read_segments(verdicts, ["sample_id", "status", "reason", "message", "output"]):
        for row in table.to_pylist():
            failed = row["status"] == "failed" and row["output"] and row["reason"] not in NOT_REPAIRABLE
            if not failed or row["sample_id"] not in owners:
                continue
            places = owners[row["sample_id"]]
            task = repair_question(places[0][0], row["output"], feedback(row["reason"], row["message"] or ""))
            tasks[task.id] = task
            (prompt,) = asking.prompts(task)
            owned.setdefault(f"{task.id}/{prompt.context}/0", []).extend(places)
    return list(tasks.values()), owned
