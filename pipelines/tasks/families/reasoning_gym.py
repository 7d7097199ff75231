"""Generated questions: any dataset of the package reasoning-gym, e.g. ``reasoning_gym:gsm_symbolic``.

Question i of a dataset depends on its options and on seed + i. So two runs may share questions if their seeds
lie closer together than their sizes: seeds for training and evaluation should be far apart.

A family with a scorer of its own is judged by it, at full marks, since many have several right answers. The
others, whose one right answer is known, are compared with it by the kind of their answers (`pipelines.tasks.answers`).
Exceptions, by reading and trying the scorers of reasoning-gym 0.1.25:

- COMPARED: one right answer, but a scorer that is wrong or unsafe; they are compared with that answer.
- REFUSED: several right answers and a scorer that evaluates the text that it judges as Python. A model's text
  must never run outside the sandbox.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.tasks.answers import Choices, Kind, Value, stated_answer
from raydistill.pipelines.tasks.base import (
    NO_ANSWER,
    AnswerTask,
    Grade,
    LoadedQuestions,
    as_text,
    choose_kind,
    without_duplicates,
)
from raydistill.pipelines.tasks.extract import final_reply
from raydistill.pipelines.tasks.families.gsm8k import FINAL_LINE

PREFIX = "reasoning_gym:"
GSM_SYMBOLIC = "gsm_symbolic"
GSM_SYMBOLIC_SUFFIX = " Give the result as your final answer. Do not include units."
FULL_MARKS = 0.99
OWN_OPTIONS = frozenset({"templates", "difficulty"})  # of gsm_symbolic, beside those of reasoning-gym
MAX_DRAWN = 256  # questions drawn for each one of the wanted templates

COMPARED: dict[str, Kind] = {
    "binary_matrix": "text",  # evaluates the text
    "coin_flip": "numeric",  # gives 0 full marks for 0.89
    "game_of_life_halting": "text",  # gives any text full marks
    "gsm_symbolic": "numeric",  # takes the first number of a text, and 1,080 for 1
    "spiral_matrix": "text",  # evaluates the text
    "string_insertion": "text",  # evaluates the text
}
REFUSED = frozenset(
    {
        "composite",  # hands the text to any other family's scorer
        "countdown",
        "intermediate_integration",
        "n_queens",
        "polynomial_multiplication",
        "puzzle24",
        "simple_integration",
    }
)


@dataclass(frozen=True, slots=True)
class ScoredTask:
    """A family whose own scorer judges; it regenerates the entry of a question from its row."""

    name: str
    dataset: Any  # reasoning_gym.dataset.ProceduralDataset; None reads answers and judges none
    grader: str = "reasoning_gym"
    version: str = "1"

    def read(self, value: Value | None, choices: Choices | None = None) -> str | None:
        """The answer that a text states, else all of it; the scorer wants it as it is written."""
        if isinstance(value, str):
            return stated_answer(value, "text") or final_reply(value).strip() or None
        return as_text(value) or None

    def grade(self, value: Value | None, question: Question) -> Grade:
        return self.grade_entry(value, self.dataset[question.meta["row"]])

    def grade_entry(self, value: Value | None, entry: Mapping[str, Any]) -> Grade:
        """Judge `value` against an entry of the dataset: a text by the answer it states, else as a whole."""
        answer = self.read(value)
        if answer is None:
            return NO_ANSWER
        try:
            score = self.dataset.score_answer(answer, entry)
        except Exception:  # scorers expect well-formed answers; what they choke on is a wrong one
            score = 0.0
        return Grade.of(score >= FULL_MARKS, answer)


def load(config: Questions) -> LoadedQuestions:
    """Generate `config.size` questions (default: the dataset's own) with `config.seed` and `config.options`.

    `meta` carries the row (the index that the dataset generates it from) and, for gsm_symbolic, the `template`
    (e.g. ``gsm_symbolic/27``) and the worked solution as `rationale`. Of gsm_symbolic the option `templates`, a pair
    [first, last] of their numbers, takes only questions of these, so that others can be held out; and `difficulty`,
    from 1 to 4, multiplies the largest numbers that questions may have.
    """
    grader = grader_of(config.task) if config.grader == "auto" else config.grader
    options = dict(config.options)
    own = {name: options.pop(name) for name in OWN_OPTIONS & {*options} if config.task == PREFIX + GSM_SYMBOLIC}
    dataset = open_dataset(config.task, size=config.size, seed=config.seed, options=options)
    rows: Sequence[int] = range(len(dataset))
    if own:
        dataset, rows = _with_own_options(config, options, len(dataset), **own)
    questions, duplicates = without_duplicates(_question(config.task, dataset, row) for row in rows)
    if grader == "reasoning_gym":
        return LoadedQuestions(ScoredTask(config.task, dataset), questions, duplicates)
    return LoadedQuestions(AnswerTask(config.task, choose_kind(grader, questions)), questions, duplicates)


def open_dataset(task: str, *, size: int | None = None, seed: int = 0, options: Mapping[str, Any] | None = None) -> Any:
    """The dataset of `task`; raises UsageError for an unknown name, unknown options or bad values of them."""
    import reasoning_gym

    family = _family(task)
    settings = {**(options or {}), "seed": seed} | ({} if size is None else {"size": size})
    try:
        return reasoning_gym.create_dataset(family, **settings)
    except (TypeError, AssertionError, ValueError) as error:
        raise UsageError(f"{task}: its options do not fit ({settings}): {error}") from None


def grader_of(task: str) -> Kind | Literal["reasoning_gym", "auto"]:
    """Who judges the family: its own scorer, a fixed kind of comparison, or one told from the gold answers.

    Raises UsageError where the scorer would run a model's text.
    """
    from reasoning_gym.dataset import ProceduralDataset
    from reasoning_gym.factory import DATASETS

    family = _family(task)
    if family in REFUSED:
        raise UsageError(
            f"{task}: its scorer evaluates the answer as Python, outside the sandbox; "
            "choose another family, or compare with the one gold answer by grader text"
        )
    if family in COMPARED:
        return COMPARED[family]
    own = DATASETS[family][0].score_answer is not ProceduralDataset.score_answer
    return "reasoning_gym" if own else "auto"


def _with_own_options(
    config: Questions, options: dict[str, Any], size: int, templates: Any = (0, 99), difficulty: Any = 1
) -> tuple[Any, list[int]]:
    """A dataset that holds `size` questions of the templates [first, last] at a difficulty, and their rows.

    A larger dataset of the same seed begins with the questions of a smaller one.
    """
    if isinstance(difficulty, bool) or not isinstance(difficulty, int | float) or not 1 <= difficulty <= 4:
        raise UsageError(f"{config.task}: options.difficulty is {difficulty!r}; expected a number from 1 to 4")
    numbers = [*templates] if isinstance(templates, list | tuple) else []
    drawn, rows = size, list[int]()
    while len(numbers) == 2 and len(rows) < size and drawn <= MAX_DRAWN * size:
        drawn *= 2
        dataset = open_dataset(config.task, size=drawn, seed=config.seed, options=options)
        dataset.config.difficulty = difficulty  # its generators know others than the 1 that its options may name
        rows = [row for row, template in enumerate(dataset.task_indices) if numbers[0] <= template <= numbers[1]]
        if difficulty != 1:
            rows = [row for row in rows if _is_there(dataset, row)]
    if len(rows) < size:
        raise UsageError(
            f"{config.task}: options.templates is {templates!r}; expected the first and last number of a range, "
            "0 to 99, in which there are templates"
        )
    return dataset, rows[:size]


def _is_there(dataset: Any, row: int) -> bool:
    """Whether the template finds numbers for the row; at other difficulties than 1 one of them sometimes does not."""
    try:
        return bool(dataset[row])
    except ValueError:
        return False


def _family(task: str) -> str:
    from reasoning_gym.factory import DATASETS

    family = task.removeprefix(PREFIX)
    if family not in DATASETS:
        close = difflib.get_close_matches(family, DATASETS, n=4) or sorted(DATASETS)[:4]
        raise UsageError(
            f"{task}: reasoning-gym has no dataset {family!r}; did you mean {', '.join(close)}? "
            f"({len(DATASETS)} datasets in all)"
        )
    return family


def _question(task: str, dataset: Any, row: int) -> Question:
    entry = dataset[row]
    meta: dict[str, Any] = {"row": row}
    if task == PREFIX + GSM_SYMBOLIC:
        meta["template"] = f"{GSM_SYMBOLIC}/{dataset.task_indices[row]}"
        meta["rationale"] = FINAL_LINE.sub("", entry["metadata"]["answer_cot"]).rstrip()
    text = entry["question"].removesuffix(GSM_SYMBOLIC_SUFFIX)
    return Question.make(task, text, as_text(entry["answer"]), **meta)
