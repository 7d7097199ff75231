"""What a task's gold labels are, in one line for the reader of a run: the grader, their forms, and the odd ones."""

from __future__ import annotations

from collections import Counter

from raydistill.pipelines.tasks.answers import KINDS, Number, read_value, to_letter
from raydistill.pipelines.tasks.base import LoadedQuestions, choices_of, kind_of

SHOWN = 3  # odd gold labels
MAIN_SHARE = 0.9  # of the gold labels, from which they are of one kind


def overview(loaded: LoadedQuestions) -> str:
    """``judged as numeric; gold labels: 8 number, 1 time; by their own form: '12:30' (row 9)``"""
    grader = loaded.task.grader
    if grader not in KINDS:
        return f"judged by the rules of {grader}"
    forms, odd = Counter[str](), list[str]()
    for question in loaded.questions:
        gold, choices = question.answer, choices_of(question)
        kind = kind_of(gold, grader, choices)
        forms[_form(gold, choices if grader == "choice" else {})] += 1
        if kind != grader or (kind == "numeric" and not isinstance(read_value(gold), Number)):
            odd.append(f"{gold!r} (row {question.meta['row']})" if len(odd) < SHOWN else "")
    told = f"judged as {grader}; gold labels: {', '.join(f'{count:,} {form}' for form, count in forms.most_common())}"
    if not odd:
        return told
    more = f" and {len(odd) - SHOWN:,} more" if len(odd) > SHOWN else ""
    return f"{told}; by their own form: {', '.join(odd[:SHOWN])}{more}"


def several_kinds(loaded: LoadedQuestions) -> str:
    """What to do where no nine tenths of the gold labels are of one form; "" where they are, or a family has its rule.

    ``gold answers are of several kinds: 60 words (such as 'Rome', row 1), 40 number (...): ...``
    """
    if loaded.task.grader not in KINDS:
        return ""
    counts, first = Counter[str](), dict[str, str]()
    for question in loaded.questions:
        form = _form(question.answer, choices_of(question) if loaded.task.grader == "choice" else {})
        counts[form] += 1
        first.setdefault(form, f"such as {question.answer[:40]!r}, row {question.meta.get('row')}")
    if not counts or max(counts.values()) >= MAIN_SHARE * counts.total():
        return ""
    told = ", ".join(f"{count:,} {form} ({first[form]})" for form, count in counts.most_common(SHOWN))
    return (
        f"gold answers are of several kinds: {told}; each is compared by its own form: where that is not meant, split "
        "the file, or name the kind with questions.grader (docs/answers.md)"
    )


def _form(gold: str, choices: object) -> str:
    if choices and isinstance(choices, dict) and to_letter(gold, choices):
        return "option"
    value = read_value(gold)
    return "words" if value is None else "number" if isinstance(value, Number) else value.kind
