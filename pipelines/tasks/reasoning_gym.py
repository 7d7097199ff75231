"""Generated questions: any dataset of the package reasoning-gym (Apache-2.0), e.g. ``reasoning_gym:gsm_symbolic``.

Question i of a dataset depends on its options, its size, and seed + i. So two runs share questions if their seeds
lie closer together than their sizes; seeds for training and evaluation should be far apart.

Who judges an answer:

- gsm_symbolic: by value. Its own scorer takes the first number of a text and knows no 1,080.
- families with a scorer of their own: that scorer, at full marks, since many have several right answers.
- the others, whose one right answer is known: by the kind of their answers (`pipelines.answers`).

Some scorers evaluate the text that they judge as Python. A model's text must never run outside the sandbox, so
those families are compared with the gold answer where it is the only one, and refused where it is not.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from actors.errors import UsageError
from pipelines.answers import Value, stated_answer
from pipelines.config import Questions
from pipelines.extract import final_reply
from pipelines.records import Question
from pipelines.tasks.base import (
    AnswerTask,
    Grade,
    LoadedQuestions,
    as_text,
    choose_kind,
    without_duplicates,
)
from pipelines.tasks.gsm8k import FINAL_LINE

PREFIX = "reasoning_gym:"
GSM_SYMBOLIC = "gsm_symbolic"
GSM_SYMBOLIC_SUFFIX = " Give the result as your final answer. Do not include units."
FULL_MARKS = 0.99

EVALUATES_BUT_UNIQUE = frozenset({"binary_matrix", "spiral_matrix", "string_insertion"})
EVALUATES = frozenset(
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
    dataset: Any  # reasoning_gym.dataset.ProceduralDataset
    grader: str = "reasoning_gym"

    def grade(self, value: Value | None, question: Question) -> Grade:
        return self.grade_entry(value, self.dataset[question.meta["row"]])

    def grade_entry(self, value: Value | None, entry: Mapping[str, Any]) -> Grade:
        """Judge `value` against an entry of the dataset: a text by the answer it states, else as a whole."""
        answer = as_text(value)
        if isinstance(value, str):
            answer = stated_answer(value, "text") or final_reply(value).strip()
        if not answer:
            return Grade("failed", "no_answer", "")
        try:
            score = self.dataset.score_answer(answer, entry)
        except Exception:  # scorers expect well-formed answers; what they choke on is a wrong one
            score = 0.0
        if score >= FULL_MARKS:
            return Grade("passed", "ok", answer)
        return Grade("failed", "wrong_answer", answer)


def load(config: Questions) -> LoadedQuestions:
    """Generate `config.size` questions (default: the dataset's own) with `config.seed` and `config.options`.

    `meta` carries the row (the index that the dataset generates it from) and, for gsm_symbolic, the number of
    the `template` and the worked solution as `rationale`.
    """
    dataset = open_dataset(config)
    questions = [_question(config.task, dataset, row) for row in range(len(dataset))]
    if config.grader == "auto" and has_own_scorer(config.task):
        return without_duplicates(ScoredTask(config.task, dataset), questions)
    return without_duplicates(AnswerTask(config.task, choose_kind(config.grader, questions)), questions)


def open_dataset(config: Questions) -> Any:
    """The dataset of the task; raises UsageError for an unknown name, unknown options or bad values of them."""
    import reasoning_gym

    family = _family(config.task)
    size = {} if config.size is None else {"size": config.size}
    try:
        return reasoning_gym.create_dataset(family, **config.options, **size, seed=config.seed)
    except (TypeError, AssertionError, ValueError) as error:
        raise UsageError(f"{config.task}: options {config.options} do not fit: {error}") from None


def has_own_scorer(task: str) -> bool:
    """Whether the family is judged by its own scorer; raises UsageError where that would run a model's text."""
    from reasoning_gym.dataset import ProceduralDataset
    from reasoning_gym.factory import DATASETS

    family = _family(task)
    if family in EVALUATES:
        raise UsageError(
            f"{task}: its scorer evaluates the answer as Python, outside the sandbox; "
            "choose another family, or compare with the one gold answer by grader text"
        )
    if family == GSM_SYMBOLIC or family in EVALUATES_BUT_UNIQUE:
        return False
    return DATASETS[family][0].score_answer is not ProceduralDataset.score_answer


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
