"""MCC-KD's claims (arXiv 2310.14747) on the demo models: does consistency between diverse rationales help?

    python -m benchmarks.replications.mcc_kd.run --plan  # the headline's cells with planned minutes
    python -m benchmarks.replications.mcc_kd.run  # K without KL, diverse K + KL; seeds 0, 1, 2
    python -m benchmarks.replications.mcc_kd.run --arms alpha_0.01 alpha_1 alpha_10  # the curve over alpha
    python -m benchmarks.replications.mcc_kd.run --arms all --part 1/2 --work W      # all arms, for one of two machines
    python -m benchmarks.replications.mcc_kd.run --set teacher.temperature=1.2 --name mcc_kd-temperature-1.2
    python -m benchmarks.replications.mcc_kd.run --report  # page and plot from the cells that there are

A cell is an (arm, seed); its seed draws training questions, teacher samples and training. Students are tested on fresh
questions of the templates they train on (known), of all others (held_out), and of the known ones with larger numbers
(larger); on these consistency is measured, too, over rationales that the teacher writes once. Each cell leaves a file
in docs/results/data, and is not done again; the same command goes on after kill -9. Cells of one `--work` share what
the teacher has written.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.replications.cells import Cell, by_question, questions_of_set, run_main
from benchmarks.replications.cli import ask_student, cells_of, go_through, make_parser, parse_options, spent
from benchmarks.replications.mcc_kd.arms import (
    ARMS,
    BLOCKS,
    HEADLINE,
    PLAN,
    SETS,
    make_config,
    rationales_config,
    settings,
)
from benchmarks.replications.mcc_kd.page import write_report
from raydistill.actors.errors import UsageError
from raydistill.pipelines.data.examples import read_examples
from raydistill.pipelines.data.records import Example
from raydistill.pipelines.recipes.mcc_kd.config import MccKD
from raydistill.pipelines.recipes.mcc_kd.consistency import answer_consistency
from raydistill.pipelines.recipes.mcc_kd.diversity import similarities
from raydistill.pipelines.recipes.mcc_kd.recipe import without_ending
from raydistill.pipelines.run import Runner
from raydistill.pipelines.tasks import load_questions


def prepare(options: argparse.Namespace) -> None:
    """Have the teacher write the rationales of the test questions."""
    for name in SETS:
        written_rationales(options, name, Console(soft_wrap=True, highlight=False))


def written_rationales(options: argparse.Namespace, name: str, console: Console | None = None) -> str:
    """The folder of the teacher's rationales for the test questions of the set `name`; asks only where there is none.

    Raises UsageError where they are too few to measure consistency over.
    """
    with closing(Runner(rationales_config(options, name), console)) as runner:
        folder = runner.start().synthesize().folder
    if (several := len(in_groups(read_examples(folder)))) < 2 * BLOCKS:
        raise UsageError(
            f"{several} of {options.test} test questions ({name}) have several right rationales; "
            f"expected {2 * BLOCKS} to measure consistency over: raise --test"
        )
    return folder


def run_cell(options: argparse.Namespace, cell: Cell, console: Console) -> dict[str, Any]:
    """Train the student of a cell, and measure its answers and how consistent they are."""
    started, config = time.monotonic(), make_config(options, settings(options, cell))
    recipe = config.recipe
    assert isinstance(recipe, MccKD)
    with closing(Runner(config, console)) as runner:
        learned = runner.start().synthesize()
        result = runner.train(learned)
        passed = {name: answers(runner, result.student, templates) for name, templates in SETS.items()}
    written = {name: read_examples(written_rationales(options, name)) for name in SETS}
    return {
        "alpha": recipe.alpha,
        "passed": passed,
        "consistency": {name: consistency(examples, result.student) for name, examples in written.items()},
        "similarity": similarity(read_examples(learned.folder), recipe.ngram),
        "examples": runner.report["examples"],
        "teacher": spent(runner),
        "training": {name: getattr(result, name) for name in ("steps", "tokens", "pairs", "final_loss")},
        "seconds": round(time.monotonic() - started, 1),
    }


def answers(runner: Runner, student: str, templates: Mapping[str, Any]) -> list[int | None]:
    """1 or 0 for each test question of `templates` in order, answered greedily; None where nothing is known."""
    loaded = load_questions(questions_of_set(runner.config, templates))
    answered, _ = ask_student(runner, student, loaded)
    return by_question(answered)["passed"]


def consistency(examples: Iterable[Example], student: str) -> dict[str, Any]:
    """What `answer_consistency` finds, block by block of the questions, and over how many pairs."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # a small model is loaded for each block
    blocks = [answer_consistency(block, student).to_json() for block in in_blocks(in_groups(examples))]
    parts = {part: [block[part] for block in blocks] for part in ("answer_kl", "agreement", "other_kl")}
    return parts | {count: sum(block[count] for block in blocks) for count in ("pairs", "other_pairs")}


def in_groups(examples: Iterable[Example]) -> list[list[Example]]:
    """The rationales of each question that has several with the same answer, in the order of the questions' ids."""
    groups: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        groups[example.group].append(example)
    return [group for _, group in sorted(groups.items()) if len(group) > 1]


def in_blocks(groups: Sequence[Sequence[Example]]) -> list[list[Example]]:
    """The examples of `groups` in `BLOCKS` blocks; none has two groups more than another."""
    return [[example for group in groups[place::BLOCKS] for example in group] for place in range(BLOCKS)]


def similarity(examples: Iterable[Example], ngram: int) -> float | None:
    """Mean Jaccard similarity of two rationales of a question, over questions; None where all have but one."""
    means = []
    for group in in_groups(examples):
        found = similarities([without_ending(example.text) for example in group], ngram)
        means.append(found[np.triu_indices(len(group), 1)].mean())
    return round(float(np.mean(means)), 4) if means else None


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__, "mcc_kd", ARMS, HEADLINE)
    parser.add_argument("--questions", type=int, default=1500, help="training questions")
    parser.add_argument("--test", type=int, default=500, help="test questions of each set")
    return parse_options(parser, ARMS, arguments)


def main() -> None:
    options = parse()
    cells, page_cells = cells_of(options, options.arms), cells_of(options, ARMS)
    go_through(options, PLAN, cells, page_cells, run_cell, write_report, prepare)


if __name__ == "__main__":
    run_main(main)
