"""Skills of ReBase's teacher: rewriting a row of another task, declining a useless one, a question from nothing.

Each example has a target task of its own: a format drawn from ``raydistill.demo.target_task``, an instruction and three
examples of it. The model has to read them; the row's quantities go into the format. What it writes is checked by
recalculation (``raydistill.demo.target_task.parse``), never by comparison with what the generator would have written.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from raydistill.demo import source_rows, target_task
from raydistill.demo.skill import Example
from raydistill.demo.target_task import Format, Problem
from raydistill.pipelines.recipes.rebase import prompts as rebase_prompts

EXAMPLES = 3
MAX_QUANTITIES = 3
READING_WEIGHT = 0.2  # loss weight of the prompt: its examples resemble each other, and copying is learned from that
KEYS = ("input", "reasoning", "output")
REFUSAL = {"input": "", "reasoning": "The row has no quantities to use.", "output": ""}
STEP = re.compile(r"(\d+) ([+-]) (\d+) = (\d+)\.")


@dataclass(frozen=True)
class Target:
    """What the checks need to know of a prompt."""

    form: Format
    examples: tuple[dict[str, str], ...]
    row: dict[str, str] | None = None


def rewriting(rng: Random) -> Example:
    """A row that states quantities, rewritten."""
    row = _row(source_rows.WITH_QUANTITIES, rng, range(2, 100))
    target, instruction = _target(rng, row)
    return _rewriting(target, instruction, _rewritten(target.form, row, rng))


def declining(rng: Random) -> Example:
    """A row without quantities, declined with empty input and output."""
    row = _row(source_rows.WITHOUT_QUANTITIES, rng, range(1))
    target, instruction = _target(rng, row)
    return _rewriting(target, instruction, REFUSAL)


def new_question(rng: Random) -> Example:
    """Another question of the task, from three examples only."""
    target, instruction = _target(rng, None)
    answer = _new(target, rng)
    [message] = rebase_prompts.direct_prompt(instruction, target.examples)
    return Example(message["content"], rebase_prompts.example_json(answer), None, READING_WEIGHT, key=target)


def rewriting_check(examples: Sequence[Example], completions: Sequence[str]) -> list[bool]:
    """Whether each is a right example in the task's format, no copy, with quantities that stand in the row."""
    return _checked(examples, completions, _is_rewriting)


def new_question_check(examples: Sequence[Example], completions: Sequence[str]) -> list[bool]:
    """Whether each is a right example in the task's format, with other things or quantities than the examples'."""
    return _checked(examples, completions, _is_new)


def declining_check(examples: Sequence[Example], completions: Sequence[str]) -> list[bool]:
    """Whether each leaves input and output empty."""
    answers = map(parsed, completions)
    return [answer is not None and answer["input"] == answer["output"] == "" for answer in answers]


def distinct_inputs(completions: Sequence[str]) -> int:
    """How many different questions there are."""
    return len({normalised(answer["input"]) for answer in map(parsed, completions) if answer})


def parsed(completion: str) -> dict[str, str] | None:
    """A completion's JSON object, if it is one with exactly the task's keys and text in each."""
    try:
        answer = json.loads(completion)
    except ValueError:
        return None
    if not isinstance(answer, dict) or set(answer) != set(KEYS):
        return None
    return answer if all(isinstance(value, str) for value in answer.values()) else None


def normalised(text: str) -> str:
    """Lower-case letters and digits only, words apart by one space."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def right_problem(answer: dict[str, str], form: Format) -> Problem | None:
    """The problem that an answer states, if it is of the format and its reasoning and output are right."""
    problem = target_task.parse(answer["input"], form)
    if problem is None or not problem.fits or problem.answer is None or answer["output"] != str(problem.answer):
        return None
    steps = [tuple(step) for step in STEP.findall(answer["reasoning"])]
    count, expected = problem.quantities[0], []
    for change in problem.quantities[1:]:
        expected.append((str(count), "+" if change > 0 else "-", str(abs(change)), str(count + change)))
        count += change
    return problem if steps == expected else None


def _checked(
    examples: Sequence[Example], completions: Sequence[str], accept: Callable[[Problem, Target], bool]
) -> list[bool]:
    verdicts = []
    for example, completion in zip(examples, completions, strict=True):
        target, answer = example.key, parsed(completion)
        problem = answer and right_problem(answer, target.form)
        copied = answer and normalised(answer["input"]) in {normalised(shown["input"]) for shown in target.examples}
        verdicts.append(bool(problem and not copied and accept(problem, target)))
    return verdicts


def _is_rewriting(problem: Problem, target: Target) -> bool:
    return {abs(quantity) for quantity in problem.quantities} <= source_rows.numbers(target.row or {})


def _is_new(problem: Problem, target: Target) -> bool:
    shown = [target_task.parse(example["input"]) for example in target.examples]
    return all((problem.quantities, problem.things) != (p.quantities, p.things) for p in shown if p)


def _row(families: dict[str, dict[str, Any]], rng: Random, quantities: range) -> dict[str, str]:
    """A row of the families that states one of these numbers of quantities."""
    while True:
        row = source_rows.random_row(families, rng)
        if len(source_rows.quantities(row)) in quantities:
            return row


def _target(rng: Random, row: dict[str, str] | None) -> tuple[Target, str]:
    form = target_task.random_format(rng)
    examples = tuple(target_task.random_example(form, rng) for _ in range(EXAMPLES))
    return Target(form, examples, row), target_task.instruction(form, rng)


def _rewriting(target: Target, instruction: str, answer: dict[str, str]) -> Example:
    row_json = json.dumps(target.row, ensure_ascii=False)
    [message] = rebase_prompts.rewrite_prompt(instruction, target.examples, row_json)
    return Example(message["content"], rebase_prompts.example_json(answer), None, READING_WEIGHT, key=target)


def _rewritten(form: Format, row: dict[str, str], rng: Random) -> dict[str, str]:
    """The row's first quantities in the format: signs as in the row where it has any, things as it names them."""
    found = source_rows.quantities(row)[:MAX_QUANTITIES]
    named = [noun for _, noun, _ in found if noun]
    things = named[0] if named else rng.choice(target_task.THINGS)
    numbers = [number for number, _, _ in found]
    signed = target_task.changes(numbers, rng)
    if any(minus for _, _, minus in found):
        signed = _signed_alike(found)
    return target_task.example(form, rng.choice(target_task.WHO[form.who]), things, signed)


def _signed_alike(found: Sequence[tuple[int, str, bool]]) -> tuple[int, ...]:
    """The quantities with the row's own signs; one that would take more than there is, is added instead."""
    count, signed = 0, []
    for number, _, minus in found:
        signed.append(-number if minus and number <= count else number)
        count += signed[-1]
    return tuple(signed)


def _new(target: Target, rng: Random) -> dict[str, str]:
    """A random example that is none of those shown."""
    while True:
        answer = target_task.random_example(target.form, rng)
        problem = target_task.parse(answer["input"])
        if problem and _is_new(problem, target):
            return answer
