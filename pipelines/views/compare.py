"""Runs beside each other: scores with paired intervals on the same questions, settings that differ, tokens and time."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.files import validated
from raydistill.pipelines.evaluation.bootstrap import paired
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.views.facts import Measured, costs, measured, passed, public_config
from raydistill.pipelines.views.run_folder import RunFolder

PLACES = {"run_dir", "cpus"}
"""Settings that say where a run is and not what it does."""


@dataclass(frozen=True, slots=True)
class Gain:
    """How much better a run's model is than the first run's, on the questions that both have answered."""

    run: str
    model: str
    n: int  # questions that both have answered
    gain: float  # fraction of 1
    low: float
    high: float  # 95 % interval, paired by question
    only_this: int  # questions that this run gets right and the first one does not
    only_first: int


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A question that some runs get right and others do not."""

    question: str
    gold: str
    right: list[str]
    wrong: list[str]
    answers: list[tuple[str, str, str, str]]  # of each run: its name, status, value, text


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `compare` found; rows of `settings` and `spent` have a value for each run, in the order of `runs`."""

    runs: list[str]
    scores: dict[str, list[Measured | None]]  # by model
    gains: list[Gain]
    settings: dict[str, list[Any]]
    spent: dict[str, list[Any]]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compare(runs: Sequence[RunFolder]) -> Comparison:
    """Compare runs, each with the first. Raises UsageError for fewer than two."""
    if len(runs) < 2:
        raise UsageError("compare: expected the folders of two runs or more")
    names = labels(runs)
    scores = [{one.name: one for one in measured(run)} for run in runs]
    models = list(dict.fromkeys(itertools.chain(*scores)))
    gains = [
        gain
        for model in models
        for name, run in zip(names[1:], runs[1:], strict=True)
        if (gain := _gain(name, model, runs[0], run))
    ]
    by_model = {model: [told.get(model) for told in scores] for model in models}
    return Comparison(names, by_model, gains, differing([_settings(run) for run in runs]), _spent(runs))


def labels(runs: Sequence[RunFolder]) -> list[str]:
    """Short names of runs: as much of the ends of their paths as tells them apart."""
    parts = [run.root.split("/") for run in runs]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(path[-depth:]) for path in parts]
        if len(set(names)) == len(names):
            return names
    raise UsageError("compare: the same run was named twice; expected different ones")


def _gain(name: str, model: str, first: RunFolder, other: RunFolder) -> Gain | None:
    """None where one of them has not measured the model, or they share no question."""
    theirs, ours = ({row["question_id"]: row for row in run.answers(model) or []} for run in (first, other))
    shared = [question for question in theirs if question in ours]
    if not shared:
        return None
    before, after = passed([theirs[i] for i in shared]), passed([ours[i] for i in shared])
    known = [(a, b) for a, b in zip(after, before, strict=True) if a is not None and b is not None]
    if not known:
        return None
    told = paired({0: after}, {0: before})
    only = [sum(a > b for a, b in known), sum(a < b for a, b in known)]
    return Gain(name, model, len(known), told["gain"], *told["ci95"], *only)


def _settings(run: RunFolder) -> dict[str, Any]:
    """The configuration with the defaults of this version; as it was written where this version cannot read it."""
    with suppress(UsageError):
        told = validated(Run, run.config, run.root).model_dump(mode="json")
        return public_config(RunFolder(run.root, told))
    return public_config(run)


def differing(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The settings that are not the same in all of these, by ``key.path``; None is the value of one that lacks it."""
    settings = [dict(flat(config)) for config in configs]
    keys = dict.fromkeys(key for one in settings for key in one)
    values = {key: [one.get(key) for one in settings] for key in keys if key not in PLACES}
    return {key: told for key, told in values.items() if any(value != told[0] for value in told)}


def flat(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested settings with their places, ``("teacher.temperature", 1.0)``."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from flat(inner, f"{place}.{name}" if place else str(name))
    else:
        yield place, value


def _spent(runs: Sequence[RunFolder]) -> dict[str, list[Any]]:
    """What each run took, all its stages together."""
    told = [costs(run.samplings) for run in runs]
    return {
        "samples": [sum(cost.samples for cost in spent) for spent in told],
        "prompt tokens": [sum(cost.prompt_tokens for cost in spent) for spent in told],
        "generated tokens": [sum(cost.generated_tokens for cost in spent) for spent in told],
        "seconds of sampling": [round(sum(cost.seconds for cost in spent), 1) for spent in told],
        "examples": [run.report.get("examples") for run in runs],
        "training steps": [run.report.get("training", {}).get("steps") for run in runs],
        "tokens trained": [run.report.get("training", {}).get("tokens") for run in runs],
        "seconds of the last command": [run.report.get("wall_s") for run in runs],
    }


def disagreements(runs: Sequence[RunFolder], model: str) -> list[Disagreement]:
    """The questions that some runs' `model` answers rightly and others' does not, in the order of the first run."""
    names = labels(runs)
    told = [{row["question_id"]: row for row in run.answers(model) or []} for run in runs]
    found = []
    for question_id, first in told[0].items():
        rows = {name: one[question_id] for name, one in zip(names, told, strict=True) if question_id in one}
        right = [name for name, row in rows.items() if row["status"] == "passed"]
        wrong = [name for name, row in rows.items() if row["status"] == "failed"]
        if right and wrong:
            answers = [(name, row["status"], row["value"], row["text"]) for name, row in rows.items()]
            found.append(Disagreement(first["question"], first["gold"], right, wrong, answers))
    return found


def shown(value: Any) -> str:
    """A setting in a table."""
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value, default=str)
