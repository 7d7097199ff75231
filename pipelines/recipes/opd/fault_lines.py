"""Where a program failed: the line that its traceback ends at, as a place among the sampled tokens.

    failing program --run again in the sandbox, caught--> line --place in the text--> character --> token

The sandbox tells an exception's last line and not where it was raised; so a program that raised is run once more, by
a program around it that returns the line. Of what does not compile the verdict has told the line.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from raydistill.actors.executor import Program
from raydistill.pipelines.data.records import Sample
from raydistill.pipelines.scoring.sampled import SampledTokens

if TYPE_CHECKING:
    from raydistill.pipelines.context import RunContext

FAULTS_VERSION = "1"
NOT_COMPILED = re.compile(r"\(line (\d+)\)")
CATCHES = """def solution():
    space = {{"__name__": "program"}}
    try:
        exec(compile({source!r}, "program", "exec"), space)
        space["solution"]()
    except BaseException as error:
        line, trace = 0, error.__traceback__
        while trace:
            if trace.tb_frame.f_code.co_filename == "program":
                line = trace.tb_lineno
            trace = trace.tb_next
        return line
    return 0
"""


def fault_lines(ctx: RunContext, samples: Sequence[Sample]) -> dict[str, int]:
    """The line (from 1) at which each failing program failed, by sample id; of wrong answers there is none."""
    found = {s.id: int(told[1]) for s in samples if s.reason == "syntax" and (told := NOT_COMPILED.search(s.detail))}
    raised = [s for s in samples if s.status == "failed" and s.reason.startswith("exception:")]
    if raised:
        programs = [Program(s.id, CATCHES.format(source=s.output)) for s in raised]
        verdicts = asyncio.run(ctx.executors.client.call("run", programs))
        found |= {v.id: v.value for v in verdicts if v.status == "passed" and isinstance(v.value, int) and v.value > 0}
    return found


def fault_token(tokenizer: Any, sampled: SampledTokens, line: int) -> int | None:
    """The first token of that line of the sample's program, or None where the line is not found in its text."""
    begin = line_begin(sampled.sample.text, sampled.sample.output, line)
    if begin is None:
        return None
    ids = sampled.ids.completion
    low, high = 0, len(ids)  # the fewest tokens whose text reaches beyond the character at which the line begins
    while low < high:
        middle = (low + high) // 2
        if len(tokenizer.decode(ids[:middle], skip_special_tokens=True)) > begin:
            high = middle
        else:
            low = middle + 1
    return low - 1


def line_begin(text: str, program: str, line: int) -> int | None:
    """The character of `text` at which a line (from 1) of the `program` that was found in it begins, behind its indent.

    A program that was put together of several pieces is found by the line alone, where that is there once.
    """
    lines = program.splitlines(keepends=True)
    if not 1 <= line <= len(lines):
        return None
    words = lines[line - 1].strip()
    start = text.rfind(program)
    if start >= 0:
        return start + sum(map(len, lines[: line - 1])) + lines[line - 1].find(words)
    return text.find(words) if words and text.count(words) == 1 else None
