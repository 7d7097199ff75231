"""How a model is asked to attempt, judge and improve stepwise solutions, and how its replies are read.

The demo models are trained on these strings, teachers and students are asked with them.

    attempt      question                               --> Step 1: ...
    feedback     question, attempt                      --> ... Step 3 is wrong: "9 * 5 = 46". 9 * 5 = 45.
    improvement  question, attempt up to the wrong      --> Step 3: ...
                 step, the verdict on it
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest

from raydistill.pipelines.tasks.stepwise.base import Feedback
from raydistill.pipelines.tasks.stepwise.steps import split_lines, stated_answer, step_text

ATTEMPT_INSTRUCTION = "Solve this step by step."
FEEDBACK_INSTRUCTION = "Check every step and find the first wrong one."
IMPROVEMENT_INSTRUCTION = "Correct this from the wrong step on."

ALL_RIGHT = "All steps are right."
RIGHT, WRONG = "right", "wrong"
MISSING = "missing"  # stands for the quote where a step is not there
CLAIMS = re.compile(r", | = | is | before (?!\d)| at | comes first, ")  # "2 days before 03/01/2024" is one claim
NOTHING = "nothing"  # stands for a claim that is not there
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

    With `worked_out`, what each step should say (`StepwiseTask.expected`), a line first says that, claim by claim, each
    beside what the attempt says: calculation and comparison then stand in the open.
    """
    judged = judged_steps(attempt, feedback)
    lines = []
    said = dict(enumerate(split_lines(attempt), 1))
    for step in range(1, judged + 1):
        word = WRONG if step == feedback.step else RIGHT
        checked = compared(worked_out[step - 1], step_text(said.get(step, ""), step)) if worked_out else ""
        lines.append(f"Step {step}: {checked} - {word}" if worked_out else f"Step {step} is {word}.")
    return "\n".join([*(lines if worked_out or feedback.correct else lines[:-1]), verdict(feedback)])


def compared(right: str, said: str | None) -> str:
    """Each claim of a right step beside that of the step said, up to the first two that differ.

    A small model cannot tell whether two long lines are alike, but it can tell that of two short texts side by side.

    >>> compared("9 * 5 = 45, so 3 + 45", "9 * 5 = 46, so 3 + 46")
    '9 * 5 | 9 * 5; 45 | 46'
    >>> compared("2 days after 03/01/2024 is 03/03/2024", "2 days before 03/01/2024 is 02/28/2024")
    '2 days after 03/01/2024 | 2 days before 03/01/2024'
    """
    pairs = list(zip_longest(claims(right), claims(said) if said else [], fillvalue=NOTHING))
    shown = next((place for place, (ours, theirs) in enumerate(pairs, 1) if ours != theirs), len(pairs))
    return "; ".join(f"{ours} | {theirs}" for ours, theirs in pairs[:shown])


def claims(step: str) -> list[str]:
    """What a step says, in parts that can be compared: ``["9 * 5", "45", "so 3 + 45"]``, ``["rose", "2"]``."""
    answer = stated_answer(step)
    return CLAIMS.split(step) if answer is None else [answer]


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
