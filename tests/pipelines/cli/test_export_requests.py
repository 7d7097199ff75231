"""Requests for a batch API and their answers: what a live run would ask is asked in a file, and paid once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from raydistill.actors.errors import UsageError
from raydistill.pipelines.cli.export_requests import export_requests
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.sampling.teachers.files import write_request_files
from tests.actors.engine.test_batches import answer
from tests.endpoint import Endpoint
from tests.pipelines.test_run_remote import KEY, apart, config, program, rows, synthesized
from tests.rows import write_rows


def exported(run: Run, out: Path) -> list[dict[str, Any]]:
    export_requests(run, out, None)
    return rows(out) if out.exists() else []


def answered(line: dict[str, Any]) -> dict[str, Any]:
    body = line["body"]
    texts = [program(body["messages"][-1]["content"], body["seed"] + i) for i in range(body.get("n", 1))]
    return answer(line["custom_id"], *texts, prompt_tokens=10, completion_tokens=7 * len(texts))


def read_from(run: Run, *files: Path, **changed: Any) -> Run:
    """The same run with its teacher's answers in files."""
    recorded = {"engine": "recorded", "recording": [str(file) for file in files], **changed}
    return Run.model_validate(run.model_dump() | {"teacher": run.teacher.model_dump() | recorded, "evaluation": None})


def texts(root: Path) -> dict[str, str]:
    import pyarrow.parquet as pq

    [folder] = (root / "completions").iterdir()
    stored = [row for path in folder.glob("*.parquet") for row in pq.read_table(path).to_pylist()]
    assert len({row["sample_id"] for row in stored}) == len(stored)
    return {row["sample_id"]: row["text"] for row in stored}


def test_a_batch_is_asked_for_read_and_asked_for_the_rest(
    cluster: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = config(tmp_path / "run", apart(tmp_path), "http://127.0.0.1:9/v1").model_copy(update={"evaluation": None})
    out = tmp_path / "requests.jsonl"
    lines = exported(run, out)  # no key is set, and no server is there
    assert [line["body"]["n"] for line in lines] == [3] * 8 and len({line["custom_id"] for line in lines}) == 8
    with pytest.raises(UsageError, match="is there already"):
        exported(run, out)

    some = [answered(line) for line in reversed(lines[:7])]
    some[2]["response"]["body"]["choices"].pop()  # two where three were asked for
    answers = write_rows(tmp_path / "answers.jsonl", some)
    late = {"code": "batch_expired", "message": "late"}
    errors = write_rows(
        tmp_path / "errors.jsonl", [{"custom_id": lines[7]["custom_id"], "response": None, "error": late}]
    )
    rest = exported(read_from(run, answers, errors), tmp_path / "rest.jsonl")
    cut = some[2]["custom_id"].removesuffix("/0")
    assert {line["custom_id"]: line["body"].get("n", 1) for line in rest} == {
        f"{cut}/2": 1,
        lines[7]["custom_id"]: 3,
    }

    report, said = synthesized(read_from(run, answers, errors))
    assert "lacks 4 of 24 samples" in said and report["verification"]["unknown"] == 4
    assert report["teacher"]["model"] == "model" and report["teacher"]["wasted_tokens"] == 0
    assert report["teacher"]["generated_tokens"] == 7 * 21 and report["teacher"]["prompt_tokens"] == 70
    assert exported(run, tmp_path / "same.jsonl") == rest  # of what is stored, too
    rest_answers = write_rows(tmp_path / "rest_answers.jsonl", [answered(line) for line in rest])
    again, _ = synthesized(read_from(run, rest_answers))
    assert again["verification"]["unknown"] == 0 and again["resumed"]["new_samples"] == 4
    assert exported(run, tmp_path / "none.jsonl") == []

    monkeypatch.setenv(KEY, "secret")
    with Endpoint(say=program) as server:
        live = config(tmp_path / "live", apart(tmp_path), server.url).model_copy(update={"evaluation": None})
        synthesized(live)
        assert texts(tmp_path / "live") == texts(tmp_path / "run")
        server.received.clear()
        more = run.model_copy(update={"teacher": live.teacher.model_copy(update={"n": 4})})
        found, _ = synthesized(more)  # what a batch has answered is not asked live
        assert found["resumed"]["new_samples"] == 8 and [one.body["seed"] for one in server.received]
        assert found["teacher"]["wasted_tokens"] == 0


def test_later_rounds_are_asked_for_when_earlier_ones_are_judged(cluster: None, tmp_path: Path) -> None:
    run = config(tmp_path / "run", apart(tmp_path), "http://127.0.0.1:9/v1", n=1, rounds=2)
    run = Run.model_validate(run.model_dump() | {"evaluation": None, "recipe": {"recipe": "pad", "max_programs": 1}})
    first = exported(run, tmp_path / "1.jsonl")
    assert len(first) == 8
    answers = write_rows(tmp_path / "a.jsonl", [answered(line) for line in first])
    with pytest.raises(UsageError, match="whether 8 questions need more samples is not known yet"):
        exported(read_from(run, answers), tmp_path / "2.jsonl")
    report, _ = synthesized(read_from(run, answers, max_error_share=1))
    wrong = 8 - report["verification"]["passed"]
    second = exported(run, tmp_path / "2.jsonl")
    assert 0 < len(second) == wrong < 8
    assert {line["custom_id"].rpartition("/")[2] for line in second} == {"1"}


def test_files_hold_as_many_lines_as_they_may(tmp_path: Path) -> None:
    out = tmp_path / "requests.jsonl"
    files = write_request_files(({"custom_id": str(i)} for i in range(5)), out, 2)
    assert [file.name for file in files] == ["requests.jsonl", "requests-2.jsonl", "requests-3.jsonl"]
    assert [len(rows(file)) for file in files] == [2, 2, 1]
    out.unlink()
    with pytest.raises(UsageError, match="requests-2.jsonl: is there already"):
        write_request_files(({"custom_id": str(i)} for i in range(5)), out, 2)
    assert not out.exists() and not list(tmp_path.glob("*.part"))
    shutil.rmtree(tmp_path)


def test_a_local_teacher_is_asked_here(tmp_path: Path, questions_file: Path) -> None:
    run = Run.model_validate({"questions": {"task": "table", "path": str(questions_file)}, "teacher": {"model": "a/b"}})
    with pytest.raises(UsageError, match="expected one behind a URL"):
        export_requests(run, tmp_path / "out.jsonl", None)


@pytest.mark.parametrize("teacher", [{"recording": ["a.jsonl"]}, {"engine": "recorded"}])
def test_recordings_belong_to_an_endpoint(tmp_path: Path, teacher: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="recording"):
        config(tmp_path, tmp_path, "http://h/v1", **teacher)
    assert json.loads(config(tmp_path, tmp_path, "http://h/v1").model_dump_json())["teacher"]["recording"] == []
