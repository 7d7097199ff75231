"""Run folders written row by row, as large and as hostile as a test wants them, in the forms that runs store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raydistill.actors.storage import write_json
from raydistill.pipelines.data.examples import write_examples
from raydistill.pipelines.data.questions import store_questions
from raydistill.pipelines.data.records import Example, Question, WeightedText
from raydistill.pipelines.prompts import fence
from raydistill.pipelines.report import empty, synthesis, write_config
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.runtime.stages import stage
from raydistill.pipelines.sampling.job import SamplingStats
from raydistill.pipelines.sampling.schemas import completion_schema, verdict_schema

HOSTILE = {
    "script": "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">",
    "attribute": '" onmouseover="document.title=\'owned\'" x="',
    "closing": "</pre></details></script></style><h1>out</h1>{{ 7 * 7 }}{% raw %}",
    "ansi": "\x1b[2J\x1b]0;owned\x07\x1b[31mred\x1b[0m\x00\x9b2J",
    "bidi": "abc\u202etxt.exe\u202c \u2066inner\u2069 \u200fright",
    "long line": "x" * 1_000_000,
    "markdown": "[click](javascript:alert(1)) | a | b |\n# heading\n---\n",
    "emoji": "\U0001f469\u200d\U0001f4bb " * 3000,
}
PROGRAM = "def solution():\n    # why not\n    total = {i} + {i}  \n    return str('<b>') and total"


def write_run(
    root: Path, count: int, *, hostile: bool = False, report: bool = True, rows_at_once: int = 5000, each: int = 1
) -> Path:
    """A finished run of `count` samples of one job, `each` of a question: two thirds right, the others failed."""
    questions_of = {"task": "table", "path": "questions.jsonl"}
    told = {"run_dir": str(root), "questions": questions_of, "teacher": {"model": "teacher"}}
    config = Run.model_validate(told)
    root.mkdir(parents=True)
    write_config(f"{root}/config.yaml", config)
    write_json(f"{root}/environment.json", {"commit": "0", "cpus": 2, "versions": {}})
    texts = list(HOSTILE.values())
    questions = [
        Question.make("table", texts[i % len(texts)] if hostile else f"What is {i} plus {i}?", str(2 * i), row=i)
        for i in range(count // each)
    ]
    stats = SamplingStats(questions=count, samples=count, generated=count, verified=count, examples=count // 6)
    known = {"model": "teacher", "completions": "c", "verdicts": "v", "sampling": {}, "prompts": "program/1"}
    with stage(str(root), "run", "pad"):
        stored = store_questions(questions, f"{root}/questions")
        with stage(str(root), "sampling", "synthesis", questions=stored, **known) as told:
            for start in range(0, count, rows_at_once):
                part = [(i, questions[i // each]) for i in range(start, min(count, start + rows_at_once))]
                _write(
                    root / "completions/c", completion_schema(), [_completion(i, q, hostile) for i, q in part], start
                )
                verdicts = [_verdict(i, q, hostile) for i, q in part]
                _write(root / "verdicts/v", verdict_schema(), verdicts, start)
                stats.statuses.update(row["status"] for row in verdicts)
                stats.reasons.update(row["reason"] for row in verdicts)
            told["result"] = stats.to_json()
        with stage(str(root), "examples", "examples", examples="e"):
            learned = ((i, questions[i // each]) for i in range(0, count, 6))
            write_examples(_examples(learned), f"{root}/examples/e")
    if report:
        told = empty("pad", "teacher") | synthesis("teacher", stats.to_json(), {"wasted_tokens": 0})
        write_json(f"{root}/report.json", told | {"questions": {"used": count, "held_out": 0}})
    return root


def _write(folder: Path, schema: pa.Schema, rows: Sequence[dict[str, Any]], number: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), folder / f"{number:09d}.parquet")


def _completion(i: int, question: Question, hostile: bool) -> dict[str, Any]:
    program = PROGRAM.format(i=i)
    said = list(HOSTILE.values())[i % len(HOSTILE)] if hostile else "Here it is."
    return {
        "sample_id": f"{question.id}/program/{i}", "question_id": question.id, "context": "program",
        "format": "program", "index": i, "seed": i, "text": f"{said}\n```python\n{program}\n```\n{said}",
        "reasoning": "", "finish_reason": "stop", "prompt_tokens": 50, "completion_tokens": 30, "engine": "e",
        "error": "",
    }  # fmt: skip


def _verdict(i: int, question: Question, hostile: bool) -> dict[str, Any]:
    reason = ("ok", "wrong_answer", "ok", "exception:NameError", "ok", "ok")[i % 6]
    said = list(HOSTILE.values())[i % len(HOSTILE)] if hostile else ""
    return {
        "sample_id": f"{question.id}/program/{i}", "question_id": question.id,
        "status": "passed" if reason == "ok" else "failed", "reason": reason, "value": said or str(2 * i),
        "output": PROGRAM.format(i=i), "message": said, "stdout": said, "grade": "A",
    }  # fmt: skip


def _examples(learned: Iterable[tuple[int, Question]]) -> Iterable[Example]:
    for i, q in learned:
        messages = ({"role": "user", "content": q.text},)
        completion = (WeightedText(fence(PROGRAM.format(i=i))),)
        yield Example(f"{i:016x}", q.id, messages, completion, source=f"{q.id}/program/{i}")
