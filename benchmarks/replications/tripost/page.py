"""The results of TriPosT's replication for people: docs/results/tripost.json, tripost.md and tripost.svg."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.replications.claims import claim_rows, write_claims
from benchmarks.replications.pages import drawn, opening, percents, table, unmeasured, whiskers, write_results
from benchmarks.replications.tripost.arms import ARMS, SPLITS, TASKS, TaskCell
from raydistill.pipelines.evaluation.bootstrap import matrix, mean_of, paired

Answers = Mapping[str, Mapping[str, Sequence[int | None]]]
"""Of a student, by split and then by MEASURES (older cells lack REPEATED): 1, 0 or None for each question."""

Students = Mapping[str, Mapping[str, Mapping[int, Answers]]]
"""By the student's name (``rationales``, ``tripost t=3``), by task, by seed."""

SETTINGS = ("iterations", "attempts", "examples", "test", "temperature", "feedback")
RATIONALES, ALL = "rationales", "all tasks"
HELP, HURT, REPEATED = "helped", "hurt", "repeated"
MEASURES = ("before", "after", "tried", REPEATED)
PAPER = "2310.13522"
PAPERS_BEST_GAIN = 0.0713  # the paper's, of LLaMA-7B


class Claim(NamedTuple):
    """`ours` is above `theirs`, in the answers of `measure` and `against`; on average over the tasks."""

    text: str
    ours: str
    theirs: str
    measure: str = "after"
    against: str = "after"


CLAIMS = (
    Claim("TriPosT over rationale SFT", "tripost t=3", RATIONALES),
    Claim("TriPosT over SI-demo", "tripost t=3", "si_demo t=3"),
    Claim("TriPosT over SI-demo, two iterations", "tripost t=2", "si_demo t=2"),
    Claim("TriPosT over SI-demo, one iteration", "tripost t=1", "si_demo t=1"),
    Claim("TriPosT with right reasons over SI-demo", "reasons_agree t=3", "si_demo t=3"),
    Claim("updates of TriPosT's student: after over before", "tripost t=3", "tripost t=3", against="before"),
    Claim("updates, two iterations", "tripost t=2", "tripost t=2", against="before"),
    Claim("updates, one iteration", "tripost t=1", "tripost t=1", against="before"),
    Claim("updates of SI-demo's student: after over before", "si_demo t=3", "si_demo t=3", against="before"),
    Claim("first attempts of TriPosT over rationale SFT", "tripost t=3", RATIONALES, measure="before"),
    Claim("second iteration over first", "tripost t=2", "tripost t=1"),
    Claim("third iteration over second", "tripost t=3", "tripost t=2"),
    Claim("SI-demo over rationale SFT", "si_demo t=3", RATIONALES),
    Claim("TriPosT over LMSI", "tripost t=3", "lmsi t=3"),
    Claim("balanced over unbalanced", "tripost t=3", "unbalanced t=3"),
    Claim("wrong attempts masked over learned", "tripost t=3", "attempts_learned t=3"),
    Claim("own feedback with right reasons over any", "reasons_agree t=3", "tripost t=3"),
    Claim("updates after right reasons: after over before", "reasons_agree t=3", "reasons_agree t=3", against="before"),
    Claim("feedback weighted 1.5 over 1.0", "tripost t=3", "weight_1 t=3"),
    Claim("TriPosT over more gold rationales (control)", "tripost t=3", "gold t=3"),
)


def write_report(options: argparse.Namespace, paths: Mapping[TaskCell, Path]) -> None:
    """The page, its data, its plot and rows of claims (over all tasks, where all are there), of the cells there are."""
    told = write_results(options, paths, SETTINGS, summarise, page, plot)
    known = {one["task"] for one in told["comparisons"]}
    shown = {ALL} if ALL in known else known
    claims = ({**one, "test": f"{one['task']}, {one['split']}"} for one in told["comparisons"] if one["task"] in shown)
    write_claims(Path(options.out), claim_rows(options, PAPER, claims))


def summarise(cells: Mapping[TaskCell, Mapping[str, Any]]) -> dict[str, Any]:
    """Students, and comparisons of those that are there."""
    students = by_student(cells)
    return {
        "students": {name: _student(tasks) for name, tasks in students.items()},
        "examples": _examples(cells),
        "comparisons": [
            told
            for claim in CLAIMS
            for task in (ALL, *TASKS)
            for split in SPLITS
            if (told := compare(claim, students, task, split))
        ],
    }


def by_student(cells: Mapping[TaskCell, Mapping[str, Any]]) -> Students:
    """Arms, in ARMS's order, begin with the same student, which is told of once, and end with one per iteration."""
    students: dict[str, dict[str, dict[int, Answers]]] = defaultdict(lambda: defaultdict(dict))
    for cell, told in sorted(cells.items(), key=lambda measured: [*ARMS].index(measured[0].arm)):
        for number, answers in enumerate(told["tests"]):
            students[f"{cell.arm} t={number}" if number else RATIONALES][cell.task][cell.seed] = answers
    return students


def outcomes(tasks: Mapping[str, Mapping[int, Answers]], task: str, split: str, measure: str) -> dict[int, list[Any]]:
    """By seed that was measured so, question by question; of all tasks the seeds that all have, task after task."""
    if task != ALL:
        measured = {seed: answers[split] for seed, answers in tasks.get(task, {}).items()}
        return {seed: list(answers[measure]) for seed, answers in measured.items() if measure in answers}
    each = [outcomes(tasks, name, split, measure) for name in TASKS]
    return {seed: [value for one in each for value in one[seed]] for seed in sorted(set.intersection(*map(set, each)))}


def compare(claim: Claim, students: Students, task: str, split: str) -> dict[str, Any] | None:
    """The gain that a claim is about; None where no seed has both students."""
    ours = outcomes(students.get(claim.ours, {}), task, split, claim.measure)
    theirs = outcomes(students.get(claim.theirs, {}), task, split, claim.against)
    if not set(ours) & set(theirs):
        return None
    told = paired(ours, theirs)
    return {"claim": claim.text, "task": task, "split": split, **told, "holds": told["ci95"][0] > 0}


def _student(tasks: Mapping[str, Mapping[int, Answers]]) -> dict[str, Any]:
    """Per task and split: rates with intervals."""
    told: dict[str, Any] = {}
    for task in (ALL, *TASKS):
        for split in SPLITS:
            rates = {m: matrix(list(seeds.values())) for m in MEASURES if (seeds := outcomes(tasks, task, split, m))}
            if rates:
                before, after = rates["before"], rates["after"]
                rates |= {HELP: (1 - before) * after, HURT: before * (1 - after)}
                told.setdefault(task, {})[split] = {name: mean_of(values) for name, values in rates.items()}
    return told


def _examples(cells: Mapping[TaskCell, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """By arm and task: how many examples an iteration had on average, in all and of each kind."""
    kept: dict[tuple[str, str], list[Mapping[str, int]]] = defaultdict(list)
    for cell, told in cells.items():
        kept[cell.arm, cell.task] += [{"all": one["examples"], **one["kept"]} for one in told["iterations"]]
    return [
        {"arm": arm, "task": task, **{kind: round(float(np.mean([one[kind] for one in each])), 1) for kind in each[0]}}
        for (arm, task), each in kept.items()
        if each
    ]


def page(content: Mapping[str, Any], figure: str) -> str:
    """The Markdown page."""
    settings = content["settings"]
    sizes = (
        f"{settings['attempts']} questions attempted and at most {settings['examples']} examples learned per "
        f"iteration, {settings['test']} test questions per level, answers at temperature {settings['temperature']:g}, "
        f"updated after {FEEDBACK[settings['feedback']]}"
    )
    lines = [
        f"# TriPosT on the demo models{variant(settings)}",
        "",
        opening(content, sizes, "tripost"),
        "",
        "In %, with 95 % intervals: bootstrap over test questions and seeds. Before and after self-update: right "
        "answers; tried, helped, hurt: of all questions. t: iterations. Seen: levels trained on; unseen: a harder one.",
        "",
        f"![Right answers over iterations, and what updates do]({figure})",
        "",
    ]
    for split in SPLITS:
        told = [(name, tasks[ALL][split]) for name, tasks in content["students"].items() if ALL in tasks]
        if told:
            lines += [f"## All tasks, {split}", "", *table(HEADER, [_row(name, rates) for name, rates in told]), ""]
    lines += ["## Each task: after self-update", "", *table(("student", *TASK_COLUMNS), _task_rows(content)), ""]
    lines += ["## Each task: updates tried / helped / hurt / repeated", ""]
    lines += [*table(("student", *TASK_COLUMNS), _update_rows(content)), "", UPDATES_NOTE, ""]
    lines += ["## Examples of an iteration", "", *table(EXAMPLES_HEADER, _example_rows(content)), ""]
    lines += ["## Claims", "", CLAIMS_NOTE, "", *table(("claim", "split", ALL, *TASKS), _claim_rows(content))]
    if settings["feedback"] == "own":
        lines += ["", best_gain(content)]
    return "\n".join([*lines, "", unmeasured(content), ""])


def variant(settings: Mapping[str, Any]) -> str:
    """What the title says of a page whose answers are not greedy, or not updated after the student's own feedback."""
    told = ", told by the script" if settings["feedback"] == "script" else ""
    return told + (f", answers at temperature {settings['temperature']:g}" if settings["temperature"] else "")


FEEDBACK = {"own": "the student's own feedback", "script": "the script's feedback, once (control)"}
HEADER = ("student", "before", "after", "tried", HELP, HURT)
TASK_COLUMNS = tuple(f"{task}, {split}" for task in TASKS for split in SPLITS)
CLAIMS_NOTE = (
    "Gains in points, question by question, and the number of seeds that both students have; in bold where the whole "
    "interval is above zero, so that the claim holds."
)
UPDATES_NOTE = (
    "Repeated: the last update said again what was said before, or ran in circles, and was left out; of those seeds "
    "that tell it, no number where none does."
)
EXAMPLES_HEADER = ("arm", "what", "task", "all", "improvement", "self_correct", "gold")


def _row(name: str, rates: Mapping[str, Any]) -> list[str]:
    return [name, *(percents(rates[column]) for column in HEADER[1:])]


def _task_rows(content: Mapping[str, Any]) -> list[list[str]]:
    return [
        [name, *(percents(tasks[t][s]["after"]) if t in tasks else "-" for t in TASKS for s in SPLITS)]
        for name, tasks in content["students"].items()
    ]


def _update_rows(content: Mapping[str, Any]) -> list[list[str]]:
    """A row per student that has learned to update, a column per task and split: means of the seeds."""
    return [
        [name, *(_updates(tasks[task][split]) if task in tasks else "-" for task in TASKS for split in SPLITS)]
        for name, tasks in content["students"].items()
        if name != RATIONALES
    ]


def _updates(rates: Mapping[str, Any]) -> str:
    told = [measure for measure in ("tried", HELP, HURT, REPEATED) if measure in rates]
    return " / ".join(f"{100 * rates[measure]['mean']:.1f}" for measure in told)


def _example_rows(content: Mapping[str, Any]) -> list[list[str]]:
    return [
        [told["arm"], ARMS[told["arm"]].title, told["task"], *(f"{told[kind]:.0f}" for kind in EXAMPLES_HEADER[3:])]
        for told in sorted(content["examples"], key=lambda told: [*ARMS].index(told["arm"]))
    ]


def _claim_rows(content: Mapping[str, Any]) -> list[list[str]]:
    """A row per claim and split, a column per task: the gain, in bold where the claim holds."""
    told = {(one["claim"], one["split"], one["task"]): one for one in content["comparisons"]}
    return [
        [claim, split, *(_gain(told.get((claim, split, task))) for task in (ALL, *TASKS))]
        for claim, split in dict.fromkeys((claim, split) for claim, split, _ in told)
    ]


def _gain(told: Mapping[str, Any] | None) -> str:
    if told is None:
        return "-"
    gain = f"{percents(told, 'gain', signed=True)}, {told['seeds']}"
    return f"**{gain}**" if told["holds"] else gain


def best_gain(content: Mapping[str, Any]) -> str:
    """The largest gain over rationale SFT on one task, beside the paper's."""
    gains = [told for told in content["comparisons"] if told["claim"] == CLAIMS[0].text and told["task"] != ALL]
    if not gains:
        return "No task has both TriPosT's students and the baseline."
    best = max(gains, key=lambda told: told["gain"])
    reached = "reaches" if best["gain"] >= PAPERS_BEST_GAIN else "stays below"
    gain = f"{100 * best['gain']:+.1f} points ({best['task']}, {best['split']})"
    return f"The best gain over rationale SFT is {gain}: it {reached} the paper's 7.13."


def plot(content: Mapping[str, Any], path: Path) -> None:
    """Right answers to seen questions over iterations, task by task; and what the updates of the last students do."""
    students = content["students"]
    known = [task for task in TASKS if task in students.get(RATIONALES, {})]
    with drawn(path, (4 * len(known) + 5, 4.5), (*[2] * len(known), 3)) as axes:
        for one, task in zip(axes, known, strict=False):
            for place, arm in enumerate(ARMS):
                _curve(one, students, arm, task, 0.04 * place)
            one.set_title(task)
            one.set_xlabel("iterations")
        axes[0].set_ylabel(f"right after self-update, % of {SPLITS[0]} questions")
        _bars(axes[-1], students)


def _curve(axes: Any, students: Mapping[str, Any], arm: str, task: str, aside: float) -> None:
    """Right answers of an arm's students over the iterations, with intervals, drawn a little `aside` of others."""
    names = [RATIONALES, *(name for name in students if name.startswith(f"{arm} t="))]
    told = [students[name][task][SPLITS[0]]["after"] for name in names if task in students[name]]
    if len(told) < 2:
        return
    means, bounds = whiskers(told, 100)
    axes.errorbar(np.arange(len(told)) + aside, means, yerr=bounds, fmt="o-", capsize=3, label=arm)
    axes.set_xticks(range(len(told)))


def _bars(axes: Any, students: Mapping[str, Any]) -> None:
    """How often updates are tried, help and hurt: of the last student of each arm, on average over its tasks."""
    by_arm = {name.partition(" ")[0]: tasks for name, tasks in students.items() if name != RATIONALES}
    last = [*by_arm.values()]
    for place, measure in enumerate(("tried", HELP, HURT)):
        rates = [[told[SPLITS[0]][measure]["mean"] for task, told in tasks.items() if task != ALL] for tasks in last]
        heights = [100 * np.mean(each) for each in rates]
        axes.bar(np.arange(len(last)) + 0.25 * (place - 1), heights, width=0.25, label=measure)
    axes.set_xticks(range(len(last)), [*by_arm], rotation=20)
    axes.set_ylabel(f"of {SPLITS[0]} questions, %, mean over tasks")
