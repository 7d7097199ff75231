"""Stated answers: finding them in a rationale, and comparing them with the gold label.

    completion --find_answer--> what it states --read_value--> Number, date, list, expression ... --compare--> gold

Four kinds of answer, each with its own rules (docs/answers.md has a table of examples):

  numeric   by value: 1,080 = $1080.00 = 1080 eggs = 1.08e3; 50% = 50; 3/4 = 0.75; 1 1/2 = 1.5. Two whole
            numbers are equal or not; otherwise 1e-4 of the gold value is allowed. nan, inf, True: never.
  choice    by letter: (B), B., b) and "(B) the desert" are B; with the options known, so is their text.
  text      without case, articles, surplus white space and punctuation around words; yes = true, no = false;
            what is a number, date, list or expression is compared as such.
  symbolic  as numeric, and expressions by algebra (math-verify, in a process of its own): 2(x + 1) = 2x + 2.

Which answer a text gives (`find_answer`) never depends on the right one, so that it is the same where that is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from raydistill.pipelines.tasks.answers import symbolic
from raydistill.pipelines.tasks.answers.numbers import Number
from raydistill.pipelines.tasks.answers.options import Choices, to_letter
from raydistill.pipelines.tasks.answers.stated import Kind, is_open, parse_answer, said, stated_answer
from raydistill.pipelines.tasks.answers.values import Typed, of_program, read_value, same_value
from raydistill.pipelines.tasks.answers.words import as_text, normalise

__all__ = [
    "KINDS",
    "Number",
    "Choices",
    "Kind",
    "Returned",
    "Value",
    "as_text",
    "canonical",
    "compare",
    "equal_by_algebra",
    "find_answer",
    "infer_kind",
    "kind_of",
    "normalise",
    "parse_answer",
    "read_value",
    "stated_answer",
    "to_letter",
    "to_number",
]

Value = str | int | float | bool | list | dict  # what a program returns; dicts are answers of kind text
KINDS: tuple[Kind, ...] = ("numeric", "choice", "text", "symbolic")
OPTION = re.compile(r"\(?[A-Z]\)?")


class Returned(str):
    """A string that a program returned: it is the answer, of however many lines, where another text states one."""

    __slots__ = ()


def find_answer(value: Value | None, kind: Kind, choices: Choices | None = None) -> Value | None:
    """The answer that `value`, a program's result or a text, is or states; None if it states none.

    A number with its unit, or an option named by label or text, is taken as it stands; so is what a program returned.
    Of any other text it is what `parse_answer` finds.
    """
    if value is None or not isinstance(value, str):
        return value
    if kind in ("numeric", "symbolic") and read_value(value) is not None:
        return value
    if kind == "choice" and (letter := _whole_choice(value, choices)):
        return letter
    if kind == "text" and isinstance(value, Returned):
        return stated_answer(value, kind) or value.strip() or None
    return parse_answer(value, kind)


def compare(value: Value, gold: str, kind: Kind, choices: Choices | None = None) -> bool:
    """Whether `value`, a program's result or a stated answer, is the gold answer by the rules of its kind."""
    if kind == "choice":
        letter = to_letter(as_text(value), choices)
        return letter is not None and letter == to_letter(gold, choices)
    answer, expected = _typed(value), read_value(gold)
    if answer is not None and expected is not None:
        return same_value(answer, expected)
    return kind != "numeric" and normalise(as_text(value)) == normalise(gold)


def equal_by_algebra(value: Value, found: Value | None, gold: str) -> bool:
    """Whether what `value` states, in which `found` was found, is the gold expression in another form.

    Numbers are compared by `compare` alone.
    """
    answer = None if found is None else _typed(found)
    if isinstance(answer, Number) and isinstance(read_value(gold), Number):
        return False
    text = as_text(value)
    return not (found is None and is_open(text)) and symbolic.equal(said(text), gold)


def canonical(value: Value, kind: Kind, choices: Choices | None = None) -> str:
    """One spelling for answers that are the same, so that they can be counted: 1080 for $1,080.00, B for (B)."""
    if kind == "choice":
        return to_letter(as_text(value), choices) or str(value)
    typed = _typed(value)
    if typed is not None:
        return typed.spelling
    return str(value) if kind in ("numeric", "symbolic") else normalise(as_text(value))


def infer_kind(golds: Iterable[str]) -> Kind:
    """The kind of most gold answers: numeric, choice by letter, symbolic where many are expressions, else text.

    One odd answer changes nothing: each is compared by its own form (`kind_of`).
    """
    kinds = [_form(gold) for gold in golds]
    counts = {kind: kinds.count(kind) for kind in ("numeric", "symbolic", "choice", "text")}
    if counts["choice"] > len(kinds) / 2:
        return "choice"
    if counts["numeric"] + counts["symbolic"] <= len(kinds) / 2:
        return "text"
    return "symbolic" if counts["symbolic"] > SYMBOLIC_SHARE * len(kinds) else "numeric"


SYMBOLIC_SHARE = 0.1
"""Of the gold answers that must be expressions, so that all are judged by algebra."""


def kind_of(gold: str, kind: Kind, choices: Choices | None = None) -> Kind:
    """The kind that this gold answer is judged by in a table of `kind`: its own, where it cannot be of that."""
    if kind == "choice" and to_letter(gold, choices) is None:
        return "text" if read_value(gold) is None else "numeric"
    return _form(gold) if kind == "numeric" else kind


def _form(gold: str) -> Kind:
    if OPTION.fullmatch(gold.strip()):
        return "choice"
    typed = read_value(gold)
    if typed is None:
        return "symbolic" if "\\" in gold or "$" in gold else "text"
    return "symbolic" if not isinstance(typed, Number) and typed.kind in ("expression", "relation") else "numeric"


def to_number(value: Value) -> float | None:
    """The finite number that `value` is; text may carry currency, separators, percent sign and unit."""
    typed = _typed(value)
    return typed.value if isinstance(typed, Number) else None


def _typed(value: Value) -> Typed | None:
    return read_value(value) if isinstance(value, str) else of_program(value)


def _whole_choice(text: str, choices: Choices | None) -> str | None:
    """The letter of the option that all of `text` names.

    Where the options are unknown, ``A: ... so (B)`` could be both; there a stated answer comes first, and a label is
    taken of a single line only.
    """
    if not choices and ("\n" in text.strip() or stated_answer(text, "choice")):
        return None
    return to_letter(text, choices)
