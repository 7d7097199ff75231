"""What is in a file of questions: which columns, what kinds of gold answers, how many, how long.

file --columns by their names--> Questions --load_questions--> what a run would ask --kinds, lengths--> Survey
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.tasks import load_questions
from raydistill.pipelines.tasks.answers import as_text, kind_of, normalise, to_letter
from raydistill.pipelines.tasks.base import choices_of
from raydistill.pipelines.tasks.families.gsm8k import gold_label
from raydistill.pipelines.tasks.rows import read_rows

NAMES = {
    "question": ("question", "problem", "question.stem", "prompt", "query", "input", "instruction", "text"),
    "answer": ("answer", "gold", "answerKey", "label", "target", "expected", "final_answer", "output", "solution"),
}
CHOICES = ("choices", "options", "question.choices")
RATIONALES = ("rationale", "reasoning", "explanation", "solution")
FIRST = 50  # rows that tell which columns there are
MAIN_SHARE = 0.9  # of the gold answers, from which they are of one kind
CODE = re.compile(r"^\s*(?:def \w+\(|class \w+|import \w+|from \w+ import|print\(|```)", re.MULTILINE)
YES_OR_NO = frozenset(map(normalise, ("yes", "no", "true", "false")))
CALLED = {"numeric": "number", "symbolic": "expression", "choice": "option", "text": "text"}


@dataclass(frozen=True, slots=True)
class Lengths:
    """Characters of texts; ``Lengths(230, 1040)``."""

    typical: int
    longest: int

    @classmethod
    def of(cls, texts: Sequence[str]) -> Lengths:
        return cls(int(median(map(len, texts))), max(map(len, texts)))


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found in a file; `kinds` counts the gold answers by what they are, `examples` has one of each."""

    config: Questions
    count: int
    duplicates: int
    grader: str
    kinds: Counter[str]
    examples: dict[str, str]
    questions: Lengths
    answers: Lengths

    @property
    def kind(self) -> str:
        """number, expression, option, yes or no, text, program: that of nearly all; several where there is none."""
        [(kind, count)] = self.kinds.most_common(1)
        return kind if count >= MAIN_SHARE * self.count else "several"


def survey(path: str, *, question: str | None = None, answer: str | None = None) -> Survey:
    """Look at a file, folder or hub dataset, in these columns or those whose names say what they hold.

    Raises UsageError where it cannot be read, a column cannot be told, or a row lacks one of the two.
    """
    config = _columns(path, question, answer)
    loaded = load_questions(config)
    kinds, examples = Counter[str](), dict[str, str]()
    for one in loaded.questions:
        kind = _kind(one)
        kinds[kind] += 1
        examples.setdefault(kind, one.answer)
    texts, golds = [one.text for one in loaded.questions], [one.answer for one in loaded.questions]
    return Survey(
        config,
        len(texts),
        len(loaded.duplicates),
        loaded.task.grader,
        kinds,
        examples,
        Lengths.of(texts),
        Lengths.of(golds),
    )


def _columns(path: str, question: str | None, answer: str | None) -> Questions:
    """How the file would be read: as a table, or as GSM8K where answers are solutions that end in ``#### 72``."""
    rows = list(read_rows(path, split="train", size=FIRST, options={}))
    names = list(dict.fromkeys(name for row in rows for name in row.names()))
    question = _column(path, "question", question, names)
    answer = _column(path, "answer", answer, [name for name in names if name != question])
    golds = [as_text(row.field(answer)) for row in rows]
    settings = {"path": path, "question_column": question, "answer_column": answer}
    if all((label := gold_label(gold)) and label != gold and "\n" in gold for gold in golds):
        return Questions(task="gsm8k", **settings)
    first = rows[0]
    choices = next((name for name in CHOICES if isinstance(first.get(name), list | dict)), None)
    rationale = next((name for name in RATIONALES if name in names and name not in (question, answer)), None)
    options = {"choices": choices} if choices else {}
    return Questions(task="table", rationale_column=rationale, options=options, **settings)


def _column(path: str, role: str, named: str | None, names: Sequence[str]) -> str:
    """The column that is named, or the first that is called like its role. Raises UsageError where none is."""
    there = ", ".join(names) or "none"
    if named is not None:
        if named not in names:
            raise UsageError(f"--{role}-column {named}: {path} has no such column; it has {there}")
        return named
    folded = {name.lower(): name for name in reversed(names)}
    found = next((folded[name.lower()] for name in NAMES[role] if name.lower() in folded), None)
    if found is None:
        raise UsageError(f"{path}: which column holds the {role}? It has {there}: say --{role}-column NAME")
    return found


def _kind(question: Question) -> str:
    """What a gold answer is: number, expression, option, yes or no, text, program."""
    gold, choices = question.answer, choices_of(question)
    if choices and to_letter(gold, choices):
        return "option"
    if CODE.search(gold):
        return "program"
    if normalise(gold) in YES_OR_NO:
        return "yes or no"
    return CALLED[kind_of(gold, "numeric")]
