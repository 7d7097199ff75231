"""ReBase from rows to examples with recorded answers: every row and candidate accounted for, nothing paid twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from raydistill.actors.retrieval.retriever import encoder_id
from raydistill.actors.retrieval.row_index import RowIndex
from raydistill.pipelines.data.examples import read_examples
from raydistill.pipelines.data.records import Example
from raydistill.pipelines.run import Runner
from raydistill.pipelines.run_config import Run
from tests.actors.retrieval.test_retriever import fill
from tests.pipelines.recipes.rebase.test_rebase import EXAMPLES, TARGET
from tests.tiny import write_tiny_encoder

HELD_OUT = "Mia has 50 apples. Then 60 are bought. How many apples are there now?"


def question(a: int, b: int) -> str:
    return f"Mia has {a} apples. Then {b} are bought. How many apples are there now?"


def written(a: int, b: int, total: int | None = None, **changed: str) -> str:
    total = a + b if total is None else total
    example = {"input": question(a, b), "reasoning": f"{a} + {b} = {total}.", "output": str(total)}
    return json.dumps(example | changed)


ROWS = {f"how many = {number}": f"{number}" for number in range(4)}
CANDIDATES = [  # what the teacher writes of each of these rows
    [written(5, 6), written(5, 6), written(7, 8)],
    [written(11, 12, 99), written(13, 14), "Sure!"],
    [written(1, 1, input="", output=""), json.dumps(EXAMPLES[0]), written(2, 2, input="Who is Mia?")],
    [written(50, 60), written(21, 22, 5), '{"input": "Mia'],
]
DROPPED = {"duplicate": 1, "surplus": 1, "wrong_answer": 2, "not_json": 2, "empty_field": 1, "example_copy": 1}
DROPPED |= {"no_answer": 1, "evaluation_copy": 1}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An index of four rows to rewrite, one that is a held-out question, and one of a banned source."""
    from raydistill.actors.retrieval.encoder import SentenceEncoder

    encoder = SentenceEncoder(write_tiny_encoder(tmp_path_factory.mktemp("encoder")))
    made = RowIndex.create(str(tmp_path_factory.mktemp("index") / "rows"), encoder_id(encoder))
    fill(made, "sums", [{"question": asked, "answer": answer} for asked, answer in ROWS.items()], encoder)
    fill(made, "leak", [{"text": HELD_OUT}], encoder)
    fill(made, "secret/part", [{"text": "apples pears"}], encoder)
    return made.uri


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of all runs here, so that they share what they have looked up."""
    return str(tmp_path_factory.mktemp("run"))


@pytest.fixture
def make_config(tmp_path: Path, index: str, run_dir: str) -> Callable[..., Run]:
    """A run over the index whose teacher is a recording; keywords are settings of the recipe, and `n`, `recorded`."""
    held_out = tmp_path / "held_out.jsonl"
    held_out.write_text(json.dumps({"question": HELD_OUT, "answer": "110"}) + "\n", encoding="utf-8")
    asked = [json.dumps({"question": row, "answer": answer}) for row, answer in ROWS.items()]
    answers = dict(zip(asked, CANDIDATES, strict=True))

    def make(n: int = 3, recorded: dict[str, list[str]] | None = None, **recipe: Any) -> Run:
        path = tmp_path / "recorded.jsonl"
        lines = [{"question": q, "completion": c} for q, said in (recorded or answers).items() for c in said]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        settings = {"recipe": "rebase", "target": TARGET, "datastore": index, "banned": ["secret"]}
        return Run.model_validate(
            {
                "run_dir": run_dir,
                "teacher": {"engine": "recorded", "model": str(path), "n": n},
                "recipe": settings | {"check": "raydistill.demo.target_task:solve"} | recipe,
                "evaluation": {"questions": {"task": "table", "path": str(held_out)}},
            }
        )

    return make


def synthesized(config: Run, console: Console | None = None) -> tuple[dict[str, Any], list[Example]]:
    """The report and the examples of a run without a student."""
    runner = Runner(config, console)
    try:
        made = runner.start().synthesize()
    finally:
        runner.close()
    return runner.report, list(read_examples(made.folder))


def test_rows_become_examples_and_what_does_not_is_counted(cluster: None, make_config: Callable[..., Run]) -> None:
    console = Console(file=StringIO(), record=True, width=1000)
    report, examples = synthesized(make_config(), console)
    assert {example.answer for example in examples} == {"11", "27"}
    assert {example.meta["source"] for example in examples} == {"sums"}
    rows = report["rebase"]["rows"]
    assert rows["retrieved"] == 6 and rows["sources"] == {"sums": 4, "leak": 1, "secret/part": 1}
    assert rows["dropped"] == {"evaluation_copy": 1, "banned_source": 1}
    counted = report["verification"]["reasons"] | report["selection"]["dropped"]
    assert counted == DROPPED and sum(DROPPED.values()) + report["examples"] == report["verification"]["programs"] == 12
    assert (report["verification"]["passed"], report["verification"]["unknown"]) == (3, 0)
    told = console.export_text()
    assert "6 rows of 3 sources (sums 4, " in told and "banned_source 1" in told and "not learned: surplus 1" in told
    # The same again, other settings of what follows the teacher, and fewer rows ask for nothing.
    again, same = synthesized(make_config())
    assert same == examples and again["resumed"]["new_samples"] == 0
    fewer, [first] = synthesized(make_config(max_examples=1, reasoning=False))
    assert first.text in {"The answer is 11.", "The answer is 27."} and fewer["selection"]["dropped"]["over_limit"] == 1
    assert fewer["resumed"] == {"new_samples": 0, "new_verdicts": 0, "samples": 12, "verdicts": 12}
    other, _ = synthesized(make_config(check="none"))
    assert other["resumed"]["new_samples"] == 0 and other["examples"] == 4


def test_rows_can_be_learned_as_they_are(cluster: None, make_config: Callable[..., Run]) -> None:
    report, examples = synthesized(make_config(rewrite=False))
    assert (report["teacher"]["requests"], report["verification"]["programs"]) == (0, 4)
    reasons = report["verification"]["reasons"]
    assert len(examples) + sum(reasons.values()) == 4 and set(reasons) <= {"one_column"}
    for example in examples:
        assert {example.messages[-1]["content"].rpartition("Question: ")[2], example.answer} <= {*ROWS, *ROWS.values()}


def test_without_rows_and_checker_fresh_answers_vote(cluster: None, make_config: Callable[..., Run]) -> None:
    asked = {str(number): [written(30 + number, 1)] for number in range(4)}
    said = {0: ["31", "It is 31.", "30"], 1: ["33", "33", "31"], 2: ["1", "2", "33"], 3: ["34", "34"]}
    votes = {question(30 + number, 1): [f"The answer is {a}" for a in answers] for number, answers in said.items()}
    settings = {"retrieval": "none", "rows": 4, "check": "answers", "votes": 3, "datastore": None}
    report, [example] = synthesized(make_config(n=1, recorded=asked | votes, **settings))
    assert example.answer == "31" and report["rebase"]["rows"]["retrieved"] == 0
    assert report["verification"]["reasons"] == {"wrong_majority": 1, "no_majority": 1}
    assert report["verification"]["unknown"] == 1  # a vote is missing: the next run asks again
    votes[question(33, 1)].append("The answer is 34")
    report, examples = synthesized(make_config(n=1, recorded=asked | votes, **settings))
    assert {example.answer for example in examples} == {"31", "34"} and report["verification"]["unknown"] == 0


def test_fresh_answers_may_be_programs_that_are_run(cluster: None, make_config: Callable[..., Run]) -> None:
    asked = {"0": [written(30, 1)], "1": [written(30, 2)]}
    programs = {
        question(30, b): [f"```python\ndef solution():\n    return 30 + {x}\n```" for x in (1, 1, b)] for b in (1, 2)
    }
    settings = {"retrieval": "none", "rows": 2, "check": "programs", "votes": 3}
    report, [example] = synthesized(make_config(n=1, recorded=asked | programs, **settings))
    assert example.answer == "31" and report["verification"]["reasons"] == {"wrong_majority": 1}
    assert report["verification"]["grade"]  # of the sandbox
