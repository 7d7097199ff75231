"""What to do next after a run: rules over what it found, most urgent first, each with what was seen and what to try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raydistill.pipelines.views.facts import Measured, budget, funnel, measured, outcome, widest
from raydistill.pipelines.views.run_folder import RunFolder

FEW_EXAMPLES = 500
OFTEN = 0.05  # share of samples from which on a reason is worth a line
WIDE = 0.12  # of an interval
HINTS = {
    "length": "raise teacher.max_tokens, or ask for shorter answers",
    "syntax": "lower teacher.temperature, or give the prompt examples (recipe.contexts, recipe.prompt)",
    "no_program": "let the prompt ask for a program more plainly (recipe.prompt), or take a teacher that follows it",
    "no_answer": "let the prompt say how the answer is to be written (recipe.prompt)",
    "wrong_answer": "draw more samples a question (teacher.n): one right answer of several is enough",
    "timeout": "raise execution.wall_s and execution.cpu_s if the programs are right but slow",
    "memory": "raise execution.memory_mb if the programs are right but large",
    "exception": "lower teacher.temperature, or draw more samples a question (teacher.n)",
}


@dataclass(frozen=True, slots=True)
class Advice:
    """What was seen, and what to do. `reason` names samples that show it, where there are some."""

    seen: str
    do: str
    reason: str = ""


def advice(run: RunFolder) -> list[Advice]:
    """At most a handful of lines; never none."""
    status, sentence = outcome(run)
    again = "run the same command again; nothing that is stored is paid for twice"
    if status == "unfinished":
        again = f"wait; or, where no process works on it any more, {again}"
    found = [Advice(sentence, again)] if status != "done" else []
    if spent := budget(run):
        or_train = ", or set budget.on_budget=train to learn from what there is," if status != "done" else ""
        found = [Advice(spent, f"raise budget.{run.report['cost']['used_up']}{or_train} and {again}")]
    found += [*_about_samples(run), *_about_scores(measured(run), run)]
    if run.report.get("training"):
        found.append(Advice("The student is ready.", f"raydistill serve {run.root}"))
    return found or [Advice("Nothing stands out.", f"look at samples: raydistill samples {run.root}")]


def _about_samples(run: RunFolder) -> list[Advice]:
    told, found = funnel(run), list[Advice]()
    if told.unknown:
        do = "run the same command again: only these are tried anew; logs/ says what went wrong"
        found.append(Advice(f"{told.unknown:,} samples have no verdict.", do))
    total = sum(told.failed.values()) + dict(told.steps).get("passed", 0) + told.unknown
    if told.failed:
        reason, count = next(iter(told.failed.items()))
        if count > OFTEN * total:
            do = HINTS.get(reason) or HINTS.get(reason.partition(":")[0]) or "look at examples of it below"
            found.append(
                Advice(f"{reason} is the most frequent failure, {count / total:.0%} of all samples.", do, reason)
            )
    examples = run.report.get("examples")
    if examples is not None and 0 < examples < FEW_EXAMPLES:
        do = "more questions (questions.size) or more samples of each (teacher.n) usually help most"
        found.append(Advice(f"{examples:,} examples are few to learn from.", do))
    return found


def _about_scores(scores: Sequence[Measured], run: RunFolder) -> list[Advice]:
    by_name, found = {one.name: one for one in scores}, list[Advice]()
    student, base = by_name.get("student"), by_name.get("base")
    if student and base and student.low <= base.high:
        found.append(Advice("The student is not told from its base.", "more examples, epochs or learning rate"))
    if widest(scores) > WIDE:
        seen = f"Accuracies are known to {100 * widest(scores) / 2:.0f} points or so only."
        found.append(Advice(seen, "ask more held-out questions (evaluation.questions.size)"))
    training = run.report.get("training") or {}
    best, last = training.get("best_validation_loss"), training.get("final_loss")
    if best and last and best > 2 * last:
        seen = f"The validation loss ({best:.3f}) is far above the training loss ({last:.3f})."
        found.append(Advice(seen, "fewer epochs (train.epochs) or early stopping (train.early_stopping_patience)"))
    return found
