"""Runs of several teachers: samples are selected together, each is known by its teacher, none is paid for twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from raydistill.pipelines.cli.export_requests import export_requests
from raydistill.pipelines.models import base_model
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.views.facts import paragraph
from raydistill.pipelines.views.run_folder import RunFolder
from tests.endpoint import Endpoint
from tests.pipelines.test_run_remote import program, rows, synthesized
from tests.rows import write_rows

LEVELS = ("easy", "hard")
ASKED = [{"question": f"What is {i} plus 20?", "answer": str(i + 20), "level": LEVELS[i % 2]} for i in range(12)]
SAID = [{"question": row["question"], "completion": program(row["question"], i)} for row in ASKED for i in range(4)]
NOT_ALONE = {"name", "weight", "only"}


def config(folder: Path, url: str, **more: Any) -> Run:
    """A recorded teacher, `book`, and one behind a URL, `web`; further settings of either, and sections of the run."""
    endpoint = {"base_url": url, "api_key_env": None}
    questions = {"task": "table", "path": str(write_rows(folder / "mine.jsonl", ASKED)), "keep": ["level"]}
    said = str(write_rows(folder / "book.jsonl", SAID))
    teachers = [
        {"name": "book", "engine": "recorded", "model": said, **more.pop("book", {})},
        {"name": "web", "engine": "openai", "model": "model", "endpoint": endpoint, **more.pop("web", {})},
    ]
    settings = {"run_dir": str(folder / "run"), "questions": questions, "teacher": {"n": 2}, "teachers": teachers}
    return Run.model_validate(settings | {"recipe": {"recipe": "pad", "max_programs": 4}} | more)


def read(folder: Path, what: str) -> list[dict[str, Any]]:
    paths = sorted((folder / "run" / what).rglob("*.parquet"))
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def teacher_of(folder: Path) -> dict[str, str]:
    """The model of each stored completion."""
    stored = read(folder, "completions")
    assert len({row["sample_id"] for row in stored}) == len(stored)
    return {row["sample_id"]: row["model"] for row in stored}


@pytest.mark.parametrize("samples_from", ["one", "several"])
def test_samples_of_several_teachers_are_selected_together(cluster: None, tmp_path: Path, samples_from: str) -> None:
    with Endpoint(say=program) as server:
        run = config(tmp_path, server.url, samples_from=samples_from)
        report, _ = synthesized(run)
        asked = len(server.received)
        again, said = synthesized(run)
        assert len(server.received) == asked and again["resumed"]["new_samples"] == 0 and "done before" in said
    assert report["teacher"]["model"] == "book + web" and report["teacher"]["requests"] == 24
    book, web = report["teachers"]["book"], report["teachers"]["web"]
    for name in ("samples", "passed", "failed", "examples"):
        assert book[name] and web[name], name
    assert book["samples"] + web["samples"] == 24 and book["passed"] + web["passed"] == report["verification"]["passed"]
    assert book["examples"] + web["examples"] == report["examples"] and book["unknown"] == web["unknown"] == 0
    assert (
        web["generated_tokens"]
        == report["teacher"]["generated_tokens"]
        == sum(one.completion_tokens for one in server.received if one.whole)
    )
    assert again["teachers"] == report["teachers"]
    assert paragraph(RunFolder.open(str(tmp_path / "run"))).startswith("The teachers book and web wrote ")

    models = teacher_of(tmp_path)
    names = {"model": "web", str(tmp_path / "book.jsonl"): "book"}
    examples = read(tmp_path, "examples")
    assert len(examples) == report["examples"]
    assert all(json.loads(row["meta"])["teacher"] == names[models[row["source"]]] for row in examples)
    by_question: dict[str, set[str]] = {}
    for sample, model in models.items():
        by_question.setdefault(sample.partition("/")[0], set()).add(model)
    several = sum(len(found) == 2 for found in by_question.values())
    assert (several == 0) if samples_from == "one" else several > 0


def test_what_a_teacher_has_answered_is_there_in_other_mixtures(cluster: None, tmp_path: Path) -> None:
    with Endpoint(say=program) as server:
        both_of_them = config(tmp_path, server.url)
        web = both_of_them.teachers[1].model_dump(exclude=NOT_ALONE)
        alone = Run.model_validate(both_of_them.model_dump() | {"teacher": web, "teachers": ()})
        synthesized(alone)
        assert len(server.received) == 12
        both, _ = synthesized(config(tmp_path, server.url))
        less, _ = synthesized(config(tmp_path, server.url, web={"weight": 0.2}))
        assert len(server.received) == 12
        assert both["teachers"]["web"]["samples"] > less["teachers"]["web"]["samples"] > 0
    assert both["resumed"]["new_samples"] == both["teachers"]["book"]["samples"]


def test_questions_go_where_their_column_says_round_after_round(cluster: None, tmp_path: Path) -> None:
    """Two rounds for those whose first gave no right program: of each the teacher that takes them."""
    routed = {"book": {"only": {"level": "easy"}}, "web": {"only": {"level": ["hard"]}}}
    with Endpoint(say=program) as server:
        once = {"teacher": {"n": 1, "rounds": 2}, "recipe": {"recipe": "pad", "max_programs": 1}}
        run = config(tmp_path, server.url, **routed, **once)
        report, _ = synthesized(run)
        assert {int(one.asked.split("What is ")[1].split()[0]) % 2 for one in server.received} == {1}
    rounds = report["teacher"]["questions_by_rounds"]
    assert sum(rounds.values()) == 12 and len(rounds) == 2
    assert report["teachers"]["book"]["samples"] + report["teachers"]["web"]["samples"] == sum(
        int(taken) * count for taken, count in rounds.items()
    )


def test_a_file_of_requests_is_of_one_teacher(cluster: None, tmp_path: Path) -> None:
    run = config(tmp_path, "http://127.0.0.1:9/v1")
    export_requests(run, tmp_path / "out.jsonl", None)
    lines = rows(tmp_path / "out-web.jsonl")
    assert 0 < len(lines) < 12 and {line["body"]["model"] for line in lines} == {"model"}
    with pytest.raises(Exception, match="teacher.rounds=1"):
        export_requests(config(tmp_path, "http://h/v1", teacher={"n": 1, "rounds": 2}), tmp_path / "o.jsonl", None)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"web": {"name": "book"}}, "book is there twice"),
        ({"web": {"n": 3}}, "n is of all of them together"),
        ({"web": {"dtype": "float32"}}, "dtype of web says nothing of a model behind a URL: write student.dtype, or"),
        ({"web": {"weight": 0}}, "greater than 0"),
        ({"recipe": {"recipe": "tripost"}, "questions": {"task": "stepwise:dates"}}, "recipe tripost asks one teacher"),
    ],
)
def test_teachers_that_do_not_go_together(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(tmp_path, "http://h/v1", **changed)


def test_what_is_written_down_is_read_again(tmp_path: Path) -> None:
    run = config(tmp_path, "http://h/v1", teacher={"n": 2, "temperature": 0.5}, web={"temperature": 1, "weight": 2})
    assert [teacher.temperature for teacher in run.teachers] == [0.5, 1]
    assert Run.model_validate(json.loads(run.model_dump_json())) == run
    student = run.model_validate(run.model_dump() | {"train": {"student": "a/b"}})
    assert base_model(student).engine == "vllm" and base_model(student).dtype == "auto"
