"""What a run's page says in words and numbers: what was done, the funnel, costs, provenance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from raydistill.pipelines.evaluation.bootstrap import interval, matrix
from raydistill.pipelines.views.run_folder import RunFolder, Sampling
from raydistill.pipelines.views.samples import tally


@dataclass(frozen=True, slots=True)
class Measured:
    """A model's score on a page; `low` and `high` bound the 95 % interval over questions. Fractions of 1."""

    name: str
    n: int
    accuracy: float
    low: float
    high: float
    unknown: int
    other: Mapping[str, float]  # average, majority and pass@n of several samples; executable
    tokens: int


OTHERS = {
    "average": "pass@1 of {n}",
    "majority": "majority@{n}",
    "pass_at_n": "pass@{n}",
    "executable": "gave an answer",
}


@lru_cache(maxsize=8)  # a page asks several times
def measured(run: RunFolder) -> list[Measured]:
    """The scores of a run's models, best known interval each: the bootstrap's, or 1.96 standard errors."""
    found = []
    for name, told in run.evaluation.items():
        answers = run.answers(name)
        if answers and len(answers) >= told["n"]:
            low, high = interval(matrix([passed(answers)]))
        else:
            low, high = (told["accuracy"] + sign * 1.96 * told["stderr"] for sign in (-1, 1))
        other = {OTHERS[key].format(n=told["samples"]): told[key] for key in OTHERS if told.get(key) is not None}
        low, high = max(0.0, low), min(1.0, high)
        score = name, told["n"], told["accuracy"], low, high
        found.append(Measured(*score, unknown=told["unknown"], other=other, tokens=told["completion_tokens"]))
    return found


def passed(answers: Sequence[Mapping[str, Any]]) -> list[float | None]:
    """1 or 0 for each answer, None where it is unknown."""
    return [None if row["status"] == "unknown" else float(row["status"] == "passed") for row in answers]


@dataclass(frozen=True, slots=True)
class Funnel:
    """How many came through each step, and why others did not."""

    steps: list[tuple[str, int]]
    failed: dict[str, int]  # verdicts on samples, by reason
    unknown: int
    dropped: dict[str, int]  # right samples that were not selected, by reason


@lru_cache(maxsize=8)
def funnel(run: RunFolder) -> Funnel:
    """From report.json, or, of a run that did not come so far, from what it has stored."""
    report = run.report
    verification = report.get("verification") or {}
    if not verification.get("programs"):
        return _stored_funnel(run)
    failed = {reason: count for reason, count in verification["reasons"].items() if count}
    kept, selection = report.get("examples", 0), report.get("selection") or {}
    dropped = {reason: count for reason, count in selection.get("dropped", {}).items() if reason not in failed}
    steps = [("samples", verification["programs"]), ("passed", verification["passed"]), ("examples", kept)]
    if run.config.get("questions"):  # others are made of rows, and counted among the samples
        steps.insert(0, ("questions", report.get("questions", {}).get("used", 0)))
    return Funnel(steps, _sorted(failed), verification["unknown"], _sorted(dropped))


def _stored_funnel(run: RunFolder) -> Funnel:
    statuses, reasons = Counter[str](), Counter[str]()
    for sampling in run.samplings:
        if not sampling.evaluates:
            judged, why = tally(sampling)
            statuses += judged
            reasons += why
    del reasons["ok"]
    told = {
        "questions": run.report.get("questions", {}).get("used", 0),
        "samples": statuses.total(),
        "passed": statuses["passed"],
        "examples": run.report.get("examples", 0),
    }
    return Funnel([(name, count) for name, count in told.items() if count], _sorted(reasons), 0, {})


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


STOPPED = {
    "BudgetUsedUp": ("stopped", "It stopped at its budget."),
    "KeyboardInterrupt": ("stopped", "It was interrupted."),
}
"""Ends that are no failures, by the errors that they are noted as."""


def outcome(run: RunFolder) -> tuple[str, str]:
    """How the last command on a run ended, in a word (done, stopped, failed, unfinished), and in a sentence."""
    life = run.life
    if error := life.get("error"):
        stopped = STOPPED.get(error.partition(":")[0])
        return (
            "stopped" if stopped else "failed",
            f"{stopped or f'It stopped with {error}.'} What is finished is stored.",
        )
    if run.report and (not life or life["ended"]):
        return "done", ""
    return "unfinished", "It has not ended: it is still running, or was killed."


UNITS = {"money": "", "wall_s": " seconds", "prompt_tokens": " prompt tokens", "generated_tokens": " generated tokens"}


def budget(run: RunFolder) -> str:
    """Which cap has ended the synthesis, and what that left out; "" where none has."""
    cost = run.report.get("cost") or {}
    if not (cap := cost.get("used_up")):
        return ""
    spent = cost["synthesis_s"] if cap == "wall_s" else cost.get(cap, 0)
    return (
        f"Of the budget's {cost['budget'][cap]:,.10g}{UNITS[cap]} {spent:,.10g} are spent; "
        f"{cost['unasked_samples']:,} samples were not asked for."
    )


def paragraph(run: RunFolder) -> str:
    """What was done, in plain words."""
    config, report, told = run.config, run.report, funnel(run)
    counts, sentences = dict(told.steps), list[str]()
    if asked := counts.get("samples", 0):
        teacher = config["teacher"]["model"]
        models = {sampling.model for sampling in run.samplings if not sampling.evaluates}
        who = f"The teacher {teacher}" if teacher in models or not models else "The run's own students"
        if several := config.get("teachers"):
            who = f"The teachers {' and '.join(one['name'] or one['model'] for one in several)}"
        about = f" about {counts['questions']:,} questions" if counts.get("questions") else ""
        sentences.append(
            f"{who} wrote {asked:,} answers{about}; {counts.get('passed', 0):,} of them were verified as right, "
            f"{sum(told.failed.values()):,} were not"
            + (f", and {told.unknown:,} have no verdict." if told.unknown else ".")
        )
    if report.get("examples"):
        sentences.append(f"{report['examples']:,} became training examples.")
    if report.get("training"):
        trained = report["training"]
        base = config["train"]["student"]
        what = f"a LoRA adapter on {base} was" if config["train"]["lora"] else f"all weights of {base} were"
        sentences.append(f"With them {what} trained for {trained['steps']:,} steps.")
    scores = {one.name: one for one in measured(run)}
    if student := scores.get("student"):
        line = f"The student answers {student.accuracy:.1%} of {student.n:,} held-out questions"
        others = [f"the {name} {scores[name].accuracy:.1%}" for name in ("base", "teacher") if name in scores]
        sentences.append(f"{line}; {', '.join(others)}." if others else f"{line}.")
    status, ending = outcome(run)
    return " ".join([*sentences, *filter(None, [budget(run), ending if status != "done" else ""])])


@dataclass(frozen=True, slots=True)
class Cost:
    """Tokens of a stage."""

    title: str
    model: str
    samples: int
    prompt_tokens: int
    generated_tokens: int
    seconds: float

    @property
    def tokens_per_s(self) -> float:
        return self.generated_tokens / self.seconds if self.seconds > 0 else 0.0


def costs(samplings: Sequence[Sampling]) -> list[Cost]:
    """What each sampling job that came to its end took, whichever life of the run paid for it."""
    return [
        Cost(s.title, s.model, *(s.result[n] for n in ("samples", "prompt_tokens", "completion_tokens", "wall_s")))
        for s in samplings
        if s.result
    ]


SECRET = ("headers", "extra_body")
"""Settings of an endpoint that may hold what is nobody's business."""


def public_config(run: RunFolder) -> dict[str, Any]:
    """The configuration without what may be secret."""
    endpoint = run.config["teacher"].get("endpoint")
    if not endpoint:
        return dict(run.config)
    hidden = {name: "(not shown)" for name in SECRET if endpoint.get(name)}
    return {**run.config, "teacher": {**run.config["teacher"], "endpoint": {**endpoint, **hidden}}}


def provenance(run: RunFolder) -> list[tuple[str, str]]:
    """Where the results come from: names and values."""
    config, env, report = run.config, run.environment, run.report
    teacher, execution, train = config["teacher"], config["execution"], config.get("train") or {}
    sampling = f"temperature {teacher['temperature']:g}, top-p {teacher['top_p']:g}, {teacher['n']} per prompt, "
    sampling += f"at most {teacher['max_tokens']} tokens, seed {teacher['seed']}"
    questions = config.get("questions") or {}
    rows = {
        "Recipe": config["recipe"]["recipe"],
        "Questions": ", ".join(str(questions[k]) for k in ("task", "path", "split", "seed") if questions.get(k)),
        "Teacher": _revision(teacher["model"], teacher["revision"]) + f" ({teacher['engine']})",
        "Sampling": sampling,
        "Prompts": ", ".join(dict.fromkeys(s.told["prompts"] for s in run.samplings)),
        "Sandbox": f"grade {(report.get('verification') or {}).get('grade') or '-'} of at least "
        f"{execution['minimum_grade']}; {execution['cpu_s']} s CPU, {execution['wall_s']:g} s in all, "
        f"{execution['memory_mb']} MB",
        "Base of the student": _revision(train["student"], train["revision"]) if train else "",
        "Commit": env.get("commit") or "",
        "Machine": f"{env.get('cpus', '?')} CPUs, {env.get('platform', '?')}, Python {env.get('python', '?')}",
        "Versions": ", ".join(f"{name} {version}" for name, version in env.get("versions", {}).items()),
        "Folder": run.root,
    }
    return [(name, value) for name, value in rows.items() if value]


def _revision(model: str, revision: str | None) -> str:
    return f"{model} @ {revision}" if revision else model


def widest(scores: Sequence[Measured]) -> float:
    """The width of the widest interval."""
    return float(np.max([one.high - one.low for one in scores])) if scores else 0.0
