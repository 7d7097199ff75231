"""Repairs at inference (PaD, arXiv 2305.13888, section 2.3): the student gets programs back that failed to run."""

from __future__ import annotations

from raydistill.actors.segments import read_segments
from raydistill.pipelines.config.sections import EngineConfig, SamplingConfig
from raydistill.pipelines.context import RunContext
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.recipes.pad.repair import NOT_REPAIRABLE, Repair, feedback, repair_question
from raydistill.pipelines.sampling.job import Outcomes, SamplingJob
from raydistill.pipelines.tasks import LoadedQuestions

Owners = dict[str, list[tuple[Question, int]]]  # by sample id: the questions and places of samples it answers for


def repair_outcomes(
    ctx: RunContext, job: SamplingJob, loaded: LoadedQuestions, outcomes: Outcomes, model: EngineConfig, repairs: int
) -> Outcomes:
    """`outcomes` of `job`, where programs that failed to run are replaced by up to `repairs` repairs of them.

    Each repair is run. One that gives a value is final: whether the value is right nobody knows at inference.
    """
    repaired = {question_id: (list(statuses), list(values)) for question_id, (statuses, values) in outcomes.items()}
    owners = {
        sample_id: [(question, place)]
        for question in loaded.questions
        for place, sample_id in enumerate(job.plan.sample_ids(question))
    }
    sampling = SamplingConfig(
        n=1,
        temperature=job.plan.sampling.temperature,
        max_tokens=job.plan.sampling.max_tokens,
        seed=job.plan.seed,
    )
    for number in range(1, repairs + 1):
        tasks, owners = _to_repair(job.verdicts, owners)
        if not tasks:
            break
        job, _ = ctx.job(model, loaded, sampling, student=True, prompter=Repair())
        result = ctx.run(f"repair {number}", job, tasks, model, keep_outcomes=True)
        for task in tasks:
            (status,), (value,) = result.outcomes[task.id]
            for question, place in owners[job.plan.sample_ids(task)[0]]:
                statuses, values = repaired[question.id]
                statuses[place], values[place] = status, value
    return repaired


def _to_repair(verdicts: str, owners: Owners) -> tuple[list[Question], Owners]:
    """The repairs to ask for of the programs in `verdicts` that failed to run, and whose outcomes they replace.

    Samples of a question that failed alike share one.
    """
    tasks: dict[str, Question] = {}
    owned: Owners = {}
    plan = Repair()
    for table in read_segments(verdicts, ["sample_id", "status", "reason", "message", "output"]):
        for row in table.to_pylist():
            failed = row["status"] == "failed" and row["output"] and row["reason"] not in NOT_REPAIRABLE
            if not failed or row["sample_id"] not in owners:
                continue
            places = owners[row["sample_id"]]
            task = repair_question(places[0][0], row["output"], feedback(row["reason"], row["message"] or ""))
            tasks[task.id] = task
            (prompt,) = plan.prompts(task)
            owned.setdefault(f"{task.id}/{prompt.context}/0", []).extend(places)
    return list(tasks.values()), owned
