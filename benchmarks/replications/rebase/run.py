"""ReBase's claims (arXiv 2407.05463) on the demo models: do rows found by their values teach better than others?

    python -m benchmarks.replications.rebase.run --plan    # the headline's cells with planned minutes
    python -m benchmarks.replications.rebase.run           # row, dataset, random, direct; seeds 0, 1, 2
    python -m benchmarks.replications.rebase.run --arms raw no_reasoning
    python -m benchmarks.replications.rebase.run --set teacher.temperature=0.3 --name rebase-temperature-0.3
    python -m benchmarks.replications.rebase.run --contents word_problems --name rebase-word-problems
    python -m benchmarks.replications.rebase.run --report  # the page, from the cells that there are

A cell is an (arm, seed); its seed draws random rows, the teacher's samples and the training. All arms get the same
number of rows, and direct synthesis as many examples as ReBase; all are tested on the same questions. Each cell leaves
a file in docs/results/data, and is not done again; the same command goes on after kill -9. Cells of one `--work` share
the datastore and what the teacher has written.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import yaml
from rich.console import Console

from benchmarks.replications.cells import ROOT, Cell, by_question, run_main
from benchmarks.replications.cli import (
    ask_student,
    cells_of,
    count_examples,
    go_through,
    make_parser,
    parse_options,
    spent,
)
from benchmarks.replications.rebase.arms import ARMS, HEADLINE, PLAN, make_config, settings
from benchmarks.replications.rebase.held_out import from_word_problems
from benchmarks.replications.rebase.page import write_report
from benchmarks.replications.rebase.text_diversity import distinct, self_bleu, spread
from raydistill.actors.errors import UsageError
from raydistill.actors.retrieval.encoder import SentenceEncoder
from raydistill.actors.storage import write_atomic
from raydistill.demo import rebase_data
from raydistill.pipelines.data.examples import read_examples
from raydistill.pipelines.recipes.rebase.config import ReBase
from raydistill.pipelines.run import Runner

COMPARED = 200  # questions whose diversity is measured


def prepare(options: argparse.Namespace) -> None:
    """Write the rows, the test questions and the datastore's settings into the working folder."""
    work = Path(options.work)
    rebase_data.write(work / "data", options.rows_per_task, options.test)
    if options.contents == "word_problems":
        lines = [json.dumps(row) + "\n" for row in from_word_problems(options.test)]
        write_atomic(str(work / "data" / "held_out.jsonl"), "".join(lines).encode())
    store = yaml.safe_load((ROOT / "configs" / "datastores" / "demo.yaml").read_text(encoding="utf-8"))
    store["index"] = str(work / "datastore")
    for source in store["sources"]:
        source["path"] = str(work / "data" / f"{source['name']}.jsonl")
    write_atomic(str(work / "datastore.yaml"), yaml.safe_dump(store, sort_keys=False).encode())


def run_cell(options: argparse.Namespace, cell: Cell, console: Console) -> dict[str, Any]:
    """Train the student of a cell and measure it, and the questions that it learned from."""
    arm, started, changes = ARMS[cell.arm], time.monotonic(), settings(options, cell)
    if arm.as_many_as:
        changes["recipe.max_examples"] = count_examples(
            make_config(options, settings(options, replace(cell, arm=arm.as_many_as))), console
        )
    with closing(Runner(make_config(options, changes), console)) as runner:
        examples = runner.start().synthesize()
        result = runner.train(examples)
        assert runner.ctx.held_out
        answered, _ = ask_student(runner, result.student, runner.ctx.held_out)
    verified = runner.report["verification"]
    return {
        "passed": by_question(answered)["passed"],
        "candidates_right": verified["passed"] / max(1, verified["programs"]),
        "reasons": verified["reasons"],
        "rows": {name: runner.report["rebase"]["rows"].get(name) for name in ("sources", "dropped", "scores")},
        "diversity": diversity(questions_of(runner, examples.folder), cell.seed),
        "teacher": spent(runner),
        "examples": runner.report["examples"],
        "training": {"steps": result.steps, "tokens": result.tokens, "final_loss": result.final_loss},
        "seconds": round(time.monotonic() - started, 1),
    }


def questions_of(runner: Runner, folder: str) -> list[str]:
    """The questions of the examples, as the teacher wrote them."""
    assert isinstance(runner.config.recipe, ReBase)
    asked = f"{runner.config.recipe.target.instruction}\n\nQuestion: "
    return [example.messages[-1]["content"].removeprefix(asked) for example in read_examples(folder)]


def diversity(questions: Sequence[str], seed: int) -> dict[str, float]:
    """distinct-1 and -2, self-BLEU and the spread of embeddings of at most `COMPARED` questions, drawn."""
    drawn = Random(seed).sample(list(questions), min(COMPARED, len(questions)))
    if len(drawn) < 2:
        raise UsageError(f"{len(drawn)} examples have no diversity: raise --rows")
    told = {"distinct_1": distinct(drawn, 1), "distinct_2": distinct(drawn, 2), "self_bleu": self_bleu(drawn)}
    return told | {"spread": spread(SentenceEncoder().encode(drawn)), "questions": len(drawn)}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__, "rebase", ARMS, HEADLINE)
    parser.add_argument("--rows", type=int, default=800, help="retrieved, or asked for without retrieval")
    parser.add_argument("--rows-per-task", type=int, default=500, help="in the datastore")
    parser.add_argument("--test", type=int, default=500, help="test questions")
    parser.add_argument(
        "--contents",
        choices=("drawn", "word_problems"),
        default="drawn",
        help="where things and quantities of test questions come from: the teacher's training data drew them alike",
    )
    return parse_options(parser, ARMS, arguments)


def main() -> None:
    options = parse()
    cells, page_cells = cells_of(options, options.arms), cells_of(options, ARMS)
    go_through(options, PLAN, cells, page_cells, run_cell, write_report, prepare)


if __name__ == "__main__":
    run_main(main)
