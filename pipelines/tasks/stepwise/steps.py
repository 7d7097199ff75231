"""Attempts as text: numbered lines ``Step 1: ...``, the last one the answer sentence."""

from __future__ import annotations

import re

ANSWER_SENTENCE = "Therefore, the answer is {answer}."
ANSWER_STEP = re.compile(r"Therefore, the answer is (?P<answer>.+?)\.?")
HEADED_LINE = re.compile(r"Step (?P<number>\d{1,4}): ?(?P<text>.*)")
MAX_STEPS = 200  # far beyond any gold rationale; an attempt may be anything


def split_lines(attempt: str) -> list[str]:
    """The lines of an attempt without empty ones, at most MAX_STEPS of them."""
    return [line for line in map(str.strip, attempt.splitlines()) if line][:MAX_STEPS]


def step_text(line: str, number: int) -> str | None:
    """What stands behind ``Step number: ``; None without that head. The answer sentence may stand alone."""
    headed = HEADED_LINE.fullmatch(line)
    if headed:
        return headed["text"] if int(headed["number"]) == number else None
    return line if ANSWER_STEP.fullmatch(line) else None


def stated_answer(text: str) -> str | None:
    """The answer of an answer step; None if the step is another one."""
    found = ANSWER_STEP.fullmatch(text)
    return found["answer"] if found else None


def join_steps(texts: list[str], first: int = 1) -> str:
    """Steps as numbered lines, the first with number `first`."""
    return "\n".join(f"Step {number}: {text}" for number, text in enumerate(texts, first))


def splice(attempt: str, step: int, continuation: str) -> str:
    """The lines of `attempt` before number `step`, then `continuation`."""
    return "\n".join([*split_lines(attempt)[: step - 1], continuation])
