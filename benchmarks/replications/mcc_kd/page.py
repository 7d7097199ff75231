"""The results of MCC-KD's replication for people: docs/results/mcc_kd.json, mcc_kd.md and mcc_kd.svg."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.replications.cells import Cell
from benchmarks.replications.claims import claim_rows, write_claims
from benchmarks.replications.mcc_kd.arms import ARMS, SETS, TITLES
from benchmarks.replications.pages import (
    Cells,
    Measured,
    average,
    by_name,
    drawn,
    opening,
    percents,
    table,
    unmeasured,
    whiskers,
    with_interval,
    write_results,
)
from raydistill.pipelines.evaluation.bootstrap import Rows, matrix, mean_of, paired, ratio

PAPER = "2310.14747"
PASSED, ANSWER_KL, AGREEMENT, OTHER_KL = "passed", "answer_kl", "agreement", "other_kl"
TYPICAL_KL = "typical_answer_kl"  # the geometric mean over blocks, in which a single pair does not outweigh all others
COMPARED = (PASSED, ANSWER_KL, TYPICAL_KL, OTHER_KL)
PLAIN, MCC_KD, CONTROL = "k_without_kl", "diverse_kl", "alpha_10"
ALPHAS = (PLAIN, "alpha_0.01", MCC_KD, "alpha_1")  # the arms between which answer KL must fall
ABOVE = 0.0001  # the smallest gain: means are told to four digits
DIGITS = 9  # of means here: a student that copies the answer out of the rationale has KLs of a hundred thousandth


class Claim(NamedTuple):
    """`ours` compared with `theirs` lies from `least` to `most`: the gain in right answers, or the ratio of a KL."""

    text: str
    ours: str
    theirs: str
    measure: str = PASSED
    least: float = ABOVE
    most: float = np.inf
    tests: Sequence[str] = tuple(SETS)


CLAIMS = (
    Claim("answer KL at most half of that without KL", MCC_KD, PLAIN, ANSWER_KL, least=0, most=0.5),
    Claim("typical answer KL at most half of that without KL", MCC_KD, PLAIN, TYPICAL_KL, least=0, most=0.5),
    Claim("KL to a wrong question's answer falls by a tenth at most", MCC_KD, PLAIN, OTHER_KL, least=0.9),
    Claim("accuracy within 2 points of that without KL", MCC_KD, PLAIN, least=-0.02),
    Claim("MCC-KD not below K without KL", MCC_KD, PLAIN, least=0, tests=("known",)),
    Claim("MCC-KD above K without KL", MCC_KD, PLAIN, tests=("held_out", "larger")),
    Claim("K without KL over one rationale", PLAIN, "single"),
    Claim("diverse over random rationales", MCC_KD, "random_kl"),
    Claim("diverse over most similar rationales", MCC_KD, "similar_kl"),
    Claim("verified over unverified rationales", MCC_KD, "unfiltered_kl"),
    Claim("the configuration's alpha over alpha 1", MCC_KD, "alpha_1"),
    Claim("control: all over half of the questions, without KL", PLAIN, "half"),
    Claim("control: alpha 10 at least halves answer KL", CONTROL, PLAIN, ANSWER_KL, least=0, most=0.5),
    Claim("control: alpha 10 at least halves typical answer KL", CONTROL, PLAIN, TYPICAL_KL, least=0, most=0.5),
)


def write_report(options: argparse.Namespace, paths: Mapping[Cell, Path]) -> None:
    """The page, its data, its plot and its rows of claims, of those cells whose files are there."""
    told = write_results(options, paths, ("questions", "test"), lambda cells: summarise(by_name(cells)), page, plot)
    write_claims(Path(options.out), claim_rows(options, PAPER, map(_as_gain, told["claims"])))


def _as_gain(told: Measured) -> Measured:
    """A claim as a row of claims.json has it: a ratio is told as one."""
    return {**told, "gain": told["value"], "claim": told["claim"] + " (ratio)" * (told["measure"] != PASSED)}


def summarise(cells: Cells) -> dict[str, Any]:
    """Arms, comparisons of them with K rationales without KL, and claims, of those that are there."""
    compared = [arm for arm in cells if arm != PLAIN and shared(cells, arm, PLAIN)]
    claimed = [
        judge(claim, cells, test) for claim in CLAIMS if shared(cells, claim.ours, claim.theirs) for test in claim.tests
    ]
    falling = [fall(cells, kl, test) for kl in (ANSWER_KL, TYPICAL_KL) for test in SETS if shared(cells, *ALPHAS)]
    return {
        "arms": {name: _arm(rows) for name, rows in cells.items()},
        "comparisons": {
            arm: {test: {m: compare(cells[arm], cells[PLAIN], m, test) for m in COMPARED} for test in SETS}
            for arm in compared
        },
        "claims": falling + claimed,
    }


def shared(cells: Cells, *arms: str) -> list[int]:
    """The seeds that all of `arms` have."""
    return sorted(set.intersection(*(set(cells.get(arm, ())) for arm in arms)))


def values(rows: Mapping[int, Measured], measure: str, test: str) -> Rows:
    """By seed: right answers question by question, or a measure of consistency block by block (TYPICAL_KL: its log)."""
    if measure == PASSED:
        return {seed: cell[PASSED][test] for seed, cell in rows.items()}
    if measure == TYPICAL_KL:
        return {seed: np.log(cell["consistency"][test][ANSWER_KL]).tolist() for seed, cell in rows.items()}
    return {seed: cell["consistency"][test][measure] for seed, cell in rows.items()}


def _arm(rows: Mapping[int, Measured]) -> dict[str, Any]:
    """Means over seeds, with intervals where they are over questions."""
    rows = dict(sorted(rows.items()))
    every = [*rows.values()]
    told: dict[str, Any] = {"title": ARMS[every[0]["arm"]].title, "alpha": every[0]["alpha"], "seeds": [*rows]}
    for test in SETS:
        measures = (PASSED, ANSWER_KL, TYPICAL_KL, AGREEMENT, OTHER_KL)
        told[test] = {measure: mean(rows, measure, test) for measure in measures}
        told[test]["pairs"] = average(every, "consistency", test, "pairs")
    similar = [cell for cell in every if cell["similarity"] is not None]
    told["similarity"] = average(similar, "similarity", digits=4) if similar else None
    told["examples"] = average(every, "examples")
    told["training_tokens"] = average(every, "training", "tokens")
    told["teacher_tokens"] = average(every, "teacher", "generated_tokens")
    told["seconds"] = average(every, "seconds")
    return told


def mean(rows: Mapping[int, Measured], measure: str, test: str) -> dict[str, Any]:
    """The mean of a measure over seeds and questions, or blocks, with its interval."""
    told = mean_of(matrix([*values(rows, measure, test).values()]), DIGITS)
    return _exponential(told) if measure == TYPICAL_KL else told


def _exponential(told: Mapping[str, Any]) -> dict[str, Any]:
    """A mean of logarithms and its interval, exponentiated."""
    counts = {"seeds", "n"} & told.keys()
    return {name: told[name] if name in counts else np.exp(told[name]).round(DIGITS).tolist() for name in told}


def compare(ours: Mapping[int, Measured], theirs: Mapping[int, Measured], measure: str, test: str) -> dict[str, Any]:
    """The gain in right answers, or the ratio of a KL, as `value` with its interval, over the seeds that both have."""
    rows = [values(arm, measure, test) for arm in (ours, theirs)]
    if measure == TYPICAL_KL:
        told = _exponential(paired(*rows))
    else:
        told = paired(*rows) if measure == PASSED else ratio(*rows)
    return {"value": told.pop("gain" if "gain" in told else "ratio"), **told}


def judge(claim: Claim, cells: Cells, test: str) -> dict[str, Any]:
    """Whether a claim holds on average (`holds`), and with its whole interval (`certain`)."""
    told = compare(cells[claim.ours], cells[claim.theirs], claim.measure, test)
    holds = claim.least <= told["value"] <= claim.most
    certain = holds and claim.least <= told["ci95"][0] and told["ci95"][1] <= claim.most
    return {
        "claim": claim.text,
        "test": test,
        "measure": claim.measure,
        **told,
        "holds": holds,
        "certain": certain,
    }


def fall(cells: Cells, kl: str, test: str) -> dict[str, Any]:
    """Whether the KL falls from each alpha to the next; `values` are its means, over the seeds that all have.

    The comparison told is that of the largest alpha with the smallest.
    """
    seeds = shared(cells, *ALPHAS)
    arms = sorted(([cells[arm][seed] for seed in seeds] for arm in ALPHAS), key=lambda rows: rows[0]["alpha"])
    curve, alphas = [dict(zip(seeds, rows, strict=True)) for rows in arms], [f"{rows[0]['alpha']:g}" for rows in arms]
    steps = [compare(after, before, kl, test) for before, after in pairwise(curve)]
    holds = all(step["value"] < 1 for step in steps)
    return {
        "claim": f"{'typical ' * (kl == TYPICAL_KL)}answer KL falls with alpha: {', '.join(alphas)}",
        "test": test,
        "measure": kl,
        **compare(curve[-1], curve[0], kl, test),
        "values": [mean(rows, kl, test)["mean"] for rows in curve],
        "holds": holds,
        "certain": holds and all(step["ci95"][1] < 1 for step in steps),
    }


def page(content: Measured, figure: str) -> str:
    """The Markdown page."""
    settings, arms = content["settings"], content["arms"]
    sizes = f"{settings['questions']:,} training questions and {settings['test']:,} test questions of each set"
    lines = [
        "# MCC-KD on the demo models",
        "",
        opening(content, sizes, "mcc_kd"),
        "",
        "With 95 % intervals: bootstrap over seeds and test questions (of KLs and agreement: blocks of them); all else "
        "are means over seeds. Out of distribution are templates that no student has seen, and the known ones with "
        "numbers up to twice as large (difficulty 2 of the templates).",
        "",
        f"![Answer KL and accuracy over alpha]({figure})",
        "",
        "## Claims",
        "",
        *table(("claim", "test", "measured", "seeds", "holds"), [_claim_row(told) for told in content["claims"]]),
        "",
        "Measured: the gain in points, question by question; or the ratio of the KLs; or the KLs.",
        "",
        "## Right answers, %",
        "",
        *table(ARM_HEADER, [_arm_row(name, told) for name, told in arms.items()]),
        "",
        "Similarity: mean Jaccard similarity of two rationales that a question is learned with.",
        "",
        "## Consistency",
        "",
        "Of what a student answers after two rationales that the teacher wrote for a test question: symmetric KL in "
        "nats; how often the most likely answer is the same, in %. A student that copies the answer from the rationale "
        "leaves a hundred thousandth of a nat, but for a pair now and then, which decides the mean; so the typical KL, "
        "the geometric mean over 20 blocks of pairs, stands beside it (added after the first cells were seen). Other "
        "KL: after rationales of two questions with different answers; it must not fall with the first.",
        "",
        *table(KL_HEADER, [_kl_row(name, told) for name, told in arms.items()]),
        "",
        "## Against K rationales without KL",
        "",
        "Right answers: gain in points. KLs: ratios.",
        "",
        *table(GAIN_HEADER, [_gain_row(name, told) for name, told in content["comparisons"].items()]),
        "",
        unmeasured(content),
        "",
    ]
    return "\n".join(lines)


ARM_HEADER = ("arm", "what", "alpha", "seeds", *TITLES.values())
ARM_HEADER += ("rationales", "similarity", "training tokens", "teacher tokens", "minutes")
BY_TEST = [f"{{}}, {title}" for title in TITLES.values()]
KL_HEADER = (
    "arm",
    *(form.format(what) for what in ("answer KL", "typical KL", "agreement", "other KL") for form in BY_TEST),
    "pairs",
)
GAINS = ("right answers", "answer KL", "typical KL", "other KL")
GAIN_HEADER = ("arm", *(form.format(what) for what in GAINS for form in BY_TEST))


def _arm_row(name: str, told: Measured) -> list[str]:
    rates = [percents(told[test][PASSED]) for test in SETS]
    similar = "-" if told["similarity"] is None else f"{told['similarity']:.2f}"
    examples, *tokens = (f"{told[count]:,}" for count in ("examples", "training_tokens", "teacher_tokens"))
    costs = [examples, similar, *tokens, f"{told['seconds'] / 60:.0f}"]
    return [name, told["title"], f"{told['alpha']:g}", str(len(told["seeds"])), *rates, *costs]


def _kl_row(name: str, told: Measured) -> list[str]:
    forms: dict[str, Callable[[Any], str]] = dict.fromkeys((ANSWER_KL, TYPICAL_KL, AGREEMENT, OTHER_KL), _nats)
    forms[AGREEMENT] = percents
    cells = [form(told[test][measure]) for measure, form in forms.items() for test in SETS]
    return [name, *cells, " / ".join(str(told[test]["pairs"]) for test in SETS)]


def _nats(told: Measured) -> str:
    return with_interval(told, form="{:.3g}")


def _gain_row(name: str, told: Measured) -> list[str]:
    return [
        name,
        *(_value(told[test][measure], measure) for measure in COMPARED for test in SETS),
    ]


def _value(told: Measured, measure: str) -> str:
    """A gain in points, or a ratio, with its interval."""
    return percents(told, "value", signed=True) if measure == PASSED else with_interval(told, "value", "{:.2f}")


def _claim_row(told: Measured) -> list[str]:
    curve = ", ".join(f"{value:.2g}" for value in told.get("values", ()))
    verdict = "no" if not told["holds"] else "yes" if told["certain"] else "on average; its interval reaches beyond"
    measured = curve or _value(told, told["measure"])
    return [told["claim"], TITLES[told["test"]], measured, str(told["seeds"]), verdict]


def plot(content: Measured, path: Path) -> None:
    """Left answer KL, right accuracy, over alpha; where diverse rationales are learned with it."""
    arms = [told for name, told in content["arms"].items() if name in (*ALPHAS, CONTROL)]
    arms.sort(key=lambda told: told["alpha"])
    places = range(len(arms))
    with drawn(path, (11, 4.5), (1, 1)) as (left, right):
        for test, title in TITLES.items() if arms else ():
            for axes, measure, scale in ((left, TYPICAL_KL, 1), (right, PASSED, 100)):
                means, bounds = whiskers([told[test][measure] for told in arms], scale)
                axes.errorbar(places, means, yerr=bounds, fmt="o-", capsize=3, label=title)
        for axes in (left, right):
            axes.set_xticks(places, [f"{told['alpha']:g}" for told in arms])
            axes.set_xlabel("alpha")
        left.set_yscale("log")
        left.set_ylabel("typical answer KL between two rationales, nats")
        right.set_ylabel("right answers, %")
