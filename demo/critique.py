"""The critic's skills: attempting stepwise tasks, finding the first wrong step, going on from there correctly.

Questions, planted errors and the verdict on every reply come from the scripts in ``pipelines.tasks.stepwise``, the four
tasks evenly, at their easier levels. The critic works each step out again before it judges it. Prompts and replies
are worded in ``pipelines.tasks.stepwise.prompts``, as TriPosT's teacher is asked.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from raydistill.demo.skill import Example
from raydistill.pipelines.tasks.stepwise import prompts
from raydistill.pipelines.tasks.stepwise.base import CannotPlant, Feedback, StepwiseItem, StepwiseTask
from raydistill.pipelines.tasks.stepwise.steps import splice, split_lines
from raydistill.pipelines.tasks.stepwise.table import TASKS

CORRECT_SHARE = 0.2  # of attempts shown for feedback
LEVEL_WEIGHTS = (2, 1)  # of the two seen levels
DECISIONS = re.compile(rf" - (?:{prompts.RIGHT}|{prompts.WRONG})")
PROMPT_WEIGHT = 0.1  # of the loss: the attempts in the prompts teach a model from scratch what steps look like


@dataclass(frozen=True)
class Critique:
    """What an example is about: a question, an attempt at it, and the scripted feedback on the attempt."""

    task: str
    question: str
    attempt: str
    feedback: Feedback


def attempt(rng: Random) -> Example:
    """A question and its gold rationale."""
    task, item = draw(rng)
    key = Critique(task.name, item.question, item.rationale, Feedback())
    return Example(prompts.attempt_prompt(item.question), item.rationale, prompt_weight=PROMPT_WEIGHT, key=key)


def feedback(rng: Random) -> Example:
    """A question and an attempt, right or with a planted error, and the feedback on it."""
    task, item = draw(rng)
    shown = item.rationale if rng.random() < CORRECT_SHARE else faulty(task, item, rng)
    found = task.feedback(item.question, shown)
    worked_out = task.expected(item.question, shown, prompts.judged_steps(shown, found))
    reply = prompts.feedback_reply(shown, found, worked_out)
    key = Critique(task.name, item.question, shown, found)
    return Example(
        prompts.feedback_prompt(item.question, shown), reply, prompt_weight=PROMPT_WEIGHT, focus=DECISIONS, key=key
    )


def improvement(rng: Random) -> Example:
    """A question, an attempt with a planted error, the feedback on it, and the steps from the wrong one on."""
    task, item = draw(rng)
    shown = faulty(task, item, rng)
    found = task.feedback(item.question, shown)
    assert found.step is not None
    prompt = prompts.improvement_prompt(item.question, shown, found)
    completion = task.continuation(item.question, shown, found.step)
    key = Critique(task.name, item.question, shown, found)
    return Example(prompt, completion, prompt_weight=PROMPT_WEIGHT, key=key)


def draw(rng: Random) -> tuple[StepwiseTask, StepwiseItem]:
    """One of the tasks and a question of one of its seen levels."""
    task = rng.choice(list(TASKS.values()))
    return task, task.generate(rng.choices(task.seen, LEVEL_WEIGHTS)[0], rng)


def faulty(task: StepwiseTask, item: StepwiseItem, rng: Random) -> str:
    """The item's rationale with a planted error of any kind that it admits."""
    for kind in rng.sample(task.kinds, len(task.kinds)):
        try:
            return task.plant(item.question, item.rationale, kind, rng)[0]
        except CannotPlant:
            continue
    raise AssertionError(f"{task.name}: a wrong answer can always be planted")


def attempt_check(examples: Sequence[Example], completions: Sequence[str]) -> list[bool]:
    """Whether the scripted feedback finds every step of the attempt right, and the answer."""
    pairs = zip(examples, completions, strict=True)
    return [TASKS[example.key.task].feedback(example.key.question, reply).correct for example, reply in pairs]


def feedback_check(examples: Sequence[Example], completions: Sequence[str]) -> list[bool]:
    """Whether the reply names the first wrong step and quotes from it, or finds a right attempt right."""
    pairs = zip(examples, completions, strict=True)
    return [right_step(example.key, prompts.read_feedback(reply)) for example, reply in pairs]


def right_step(key: Critique, found: Feedback | None) -> bool:
    """Whether feedback agrees with the scripted one: in the step, and with a quote from it that overlaps.

    TriPosT takes two quotes for the same if one contains the other (2310.13522, released code).
    """
    gold = key.feedback
    if found is None or found.step != gold.step:
        return False
    if found.step is None:
        return True
    quoted = bool(found.quote) and found.quote in split_lines(key.attempt)[found.step - 1]
    return quoted and (found.quote in gold.quote or gold.quote in found.quote)


def improvement_check(examples: Sequence[Example], completions: Sequence[str]) -> list[bool]:
    """Whether the attempt is right in every step once the reply stands in the place of what was wrong."""
    verdicts = []
    for example, reply in zip(examples, completions, strict=True):
        key: Critique = example.key
        improved = splice(key.attempt, key.feedback.step or 1, reply)
        verdicts.append(TASKS[key.task].feedback(key.question, improved).correct)
    return verdicts


def distinct(completions: Sequence[str]) -> int:
    """How many different texts there are; a question has few right replies."""
    return len({completion.strip() for completion in completions})
