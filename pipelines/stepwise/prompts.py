"""How a model is asked to attempt, judge and improve stepwise solutions, and how its replies are read.

The demo models are trained on these strings, TriPosT's teacher and student are asked with them.

    attempt      question                               --> Step 1: ...
    feedback     question, attempt                      --> ... Step 3 is wrong: "9 * 5 = 46". 9 * 5 = 45.
    improvement  question, attempt up to the wrong      --> Step 3: ...
                 step, the verdict on it
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipelines.stepwise.base import Feedback
from pipelines.stepwise.steps import split_lines

ATTEMPT_INSTRUCTION = "Solve this step by step."
FEEDBACK_INSTRUCTION = "Check every step and find the first wrong one."
IMPROVEMENT_INSTRUCTION = "Correct this from the wrong step on."

ALL_RIGHT = "All steps are right."
RIGHT, WRONG = "right", "wrong"
MISSING = "missing"  # stands for the quote where a step is not there
PIECE = re.compile(r"\d|[^\W\d]+|\s+|[^\w\s]")
VERDICT = re.compile(
    r'^Step (?P<step>\d{1,4}) is (?:wrong: "(?P<quote>.*?)"|missing)\. (?P<reason>.*)\.$', re.MULTILINE
)


def attempt_prompt(question: str) -> str:
    """User content that asks for a numbered rationale."""
    return f"{ATTEMPT_INSTRUCTION}\n\nQuestion: {question}"


def feedback_prompt(question: str, attempt: str) -> str:
    """User content that asks for the first wrong step."""
    return f"{FEEDBACK_INSTRUCTION}\n\nQuestion: {question}\n\n{attempt}"


def improvement_prompt(question: str, attempt: str, feedback: Feedback) -> str:
    """User content that asks for the steps from the wrong one on; shows the attempt up to that step."""
    shown = "\n".join(split_lines(attempt)[: feedback.step])
    return f"{IMPROVEMENT_INSTRUCTION}\n\nQuestion: {question}\n\n{shown}\n\n{verdict(feedback)}"


def feedback_reply(attempt: str, feedback: Feedback, worked_out: Sequence[str] = ()) -> str:
    """Feedback in words: one line for every step up to the first wrong one, then the verdict.

    With `worked_out`, what each step should say (`StepwiseTask.expected`), a line first says that: the calculation
    then stands in the open. It breaks off where it first differs from the attempt, so that a small model compares
    token by token, never two whole lines.
    """
    judged = judged_steps(attempt, feedback)
    if not worked_out:
        lines = [f"Step {step} is {RIGHT}." for step in range(1, judged + feedback.correct)]
        return "\n".join([*lines, verdict(feedback)])
    lines = [f"Step {step}: {text} - {RIGHT}" for step, text in enumerate(worked_out[:judged], 1)]
    if feedback.step is not None:
        said = split_lines(attempt)[judged - 1 : judged]
        lines[-1] = f"{difference(f'Step {judged}: {worked_out[judged - 1]}', *said)} - {WRONG}"
    return "\n".join([*lines, verdict(feedback)])


def difference(right: str, said: str = "") -> str:
    """The right line as far as the first word, digit or sign that the line said does not have in its place.

    >>> difference("Step 2: 9 * 5 = 45, leaving 3 + 45", "Step 2: 9 * 5 = 46, leaving 3 + 46")
    'Step 2: 9 * 5 = 45'
    """
    ours, theirs = PIECE.findall(right), PIECE.findall(said)
    shared = next((place for place, pair in enumerate(zip(ours, theirs, strict=False)) if len(set(pair)) > 1), None)
    return right if shared is None else "".join(ours[: shared + 1])


def judged_steps(attempt: str, feedback: Feedback) -> int:
    """How many steps feedback looks at: all up to the first wrong one."""
    return len(split_lines(attempt)) if feedback.step is None else feedback.step


def verdict(feedback: Feedback) -> str:
    """The closing line of feedback."""
    if feedback.step is None:
        return ALL_RIGHT
    fault = f'wrong: "{feedback.quote}"' if feedback.quote else MISSING
    return f"Step {feedback.step} is {fault}. {feedback.reason}."


def read_feedback(text: str) -> Feedback | None:
    """The verdict in a reply, whatever else it says; None if there is none."""
    found = VERDICT.search(text)
    if found:
        return Feedback(int(found["step"]), found["quote"] or "", found["reason"])
    return Feedback() if ALL_RIGHT in text else None
