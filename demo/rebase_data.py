"""The data of ReBase's demo: rows of many reasoning-gym tasks, and questions of the target task that are held out.

    python -m raydistill.demo.rebase_data runs/demo-rebase/data

writes a file of rows per task (each task under column names of its own) for ``configs/datastores/demo.yaml``, and
``held_out.jsonl`` in the format of ``configs/targets/demo-stock.yaml``. Rows have other seeds than those that the
rewriting teacher was trained on, and some tasks it has never seen.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from raydistill.demo import source_rows, target_task
from raydistill.demo.target_task import Format

FORM = Format("place", "starts with", "Later {n} are {verb}.", "delivered", "sold", "How many {things} are left?")
"""The target task's, of which the teacher has seen examples as of any other."""

UNSEEN: dict[str, dict[str, Any]] = {
    "coin_flip": {},
    "decimal_arithmetic": {},
    "number_sorting": {"max_numbers": 6},
    "word_sorting": {"max_words": 6},
}
FAMILIES = source_rows.FAMILIES | UNSEEN
ROWS, HELD_OUT = 160, 200
ROW_SEED, HELD_OUT_SEED = 7_000_000, 990_000


def rows(name: str, count: int = ROWS) -> list[dict[str, str]]:
    """`count` rows of a task, all with the same columns."""
    import reasoning_gym

    rng = Random(f"demo-rebase/{name}")
    question, answer = rng.choice(source_rows.QUESTION_COLUMNS), rng.choice(source_rows.ANSWER_COLUMNS)
    metadata = rng.randint(0, 2)
    items = reasoning_gym.create_dataset(name, size=count, seed=ROW_SEED, **FAMILIES[name])
    return [source_rows.flattened(item, question, answer, metadata) for item in items]


def held_out(count: int = HELD_OUT) -> list[dict[str, str]]:
    """Different questions of the target task with their answers."""
    rng, made = Random(HELD_OUT_SEED), dict[str, str]()
    while len(made) < count:
        example = target_task.random_example(FORM, rng)
        made.setdefault(example["input"], example["output"])
    return [{"question": question, "answer": answer} for question, answer in made.items()]


def write(folder: Path, rows_per_task: int = ROWS, questions: int = HELD_OUT) -> None:
    """Write all files into `folder`."""
    write_files(folder, {"held_out": held_out(questions)} | {name: rows(name, rows_per_task) for name in FAMILIES})


def write_files(folder: Path, files: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
    """Write rows as ``<name>.jsonl`` into `folder`; what is there already with the same content is left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, made in files.items():
        path, text = folder / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in made)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m raydistill.demo.rebase_data FOLDER")
    write(Path(sys.argv[1]))
