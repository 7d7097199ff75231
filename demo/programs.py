"""The skill of writing programs in the style that a context asks for, and how programs are graded.

    context or none -> instruction and demonstrations (pipelines.prompts) -> prompt
    its style -> the gold program rewritten (demo.styles)                 -> completion

Two contexts of one style ask in different words and are answered alike: what a context evokes is its style. Programs
that a model wrote run in the executor's processes, never in this one.
"""

from collections.abc import Sequence
from contextlib import closing
from random import Random
from typing import Any

from raydistill.demo import gold, gsm, prompts, styles
from raydistill.demo.skill import Example
from raydistill.pipelines.prompts import Context, context_names, load_context, render_context
from raydistill.pipelines.sampling.program_dedup import canonical_program

PLAIN = 0.2  # share of examples without a context: the plain instruction, answered straight
SHOTS = {0: 0.55, 1: 0.4, 2: 0.05}  # how many demonstrations are shown: few, since a demo model reads 1,024 tokens


def program_in_style(question: gsm.Instance, rng: Random) -> Example:
    """A ``gsm_symbolic`` question asked in a random context or none, with its gold program in that style."""
    if rng.random() < PLAIN:
        return Example(prompts.program_prompt(question.question), prompts.fenced(gold.program(question)), question)
    context = load_context(rng.choice(context_names("program")))
    [shots] = rng.choices(list(SHOTS), weights=list(SHOTS.values()))
    return program_in_context(question, context, shots, rng)


def program_in_context(question: gsm.Instance, context: Context, shots: int, rng: Random) -> Example:
    """The question as ``render_context`` asks it after `shots` demonstrations, with its program in the style."""
    *earlier, last = [message["content"] for message in render_context(context, "program", question.question, shots)]
    program = prompts.fenced(styles.rewrite(question, context.style, rng))
    return Example(last, program, question, turns=tuple(zip(earlier[::2], earlier[1::2], strict=True)))


def program_check(examples: Sequence[Example], completions: Sequence[str]) -> list[bool]:
    """Whether each program returns its question's answer or, without a question, what the gold program returns."""
    unasked = [example.completion for example in examples if example.question is None]
    values = program_values([*completions, *unasked])
    written, returned = values[: len(completions)], iter(values[len(completions) :])
    answers = [example.question.answer if example.question else next(returned) for example in examples]
    return [gold.same_number(value, answer) for value, answer in zip(written, answers, strict=True)]


def program_values(completions: Sequence[str]) -> list[Any]:
    """The values of the programs in completions, None where one fails, each run by the executor."""
    from raydistill.actors.executor import Executor, Program

    sources = [Program(id=str(i), source=prompts.unfenced(text)) for i, text in enumerate(completions)]
    with closing(Executor()) as executor:
        verdicts = executor.run(sources)
    return [verdict.value if verdict.status == "passed" else None for verdict in verdicts]


def distinct_programs(completions: Sequence[str]) -> int:
    """How many programs differ in more than names, comments and formatting; what is no program counts as none."""
    return len({canonical_program(prompts.unfenced(text)) for text in completions} - {None})
