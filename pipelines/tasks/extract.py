"""The program in a completion, and the part of a completion that counts at all.

    completion --final_reply--> without reasoning and chat tokens --extract_program--> source | None
               '--finished_reply--> the same of one that the token limit has cut off, if it was finished before

Extraction only finds the text: whether it is Python, and what it returns, is for the executor to judge. So a broken
program is returned as it stands, and nothing here runs it. What marks reasoning, turns and next tasks is in `marks`.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

from raydistill.pipelines.tasks.code_blocks import CERTAIN_FIRST_LINE, Code, find_code, hide_strings
from raydistill.pipelines.tasks.definitions import can_stand, parses, with_definitions
from raydistill.pipelines.tasks.marks import END_OF_TURN, REPLY_HEADERS, USER_TURN, next_task, without_reasoning

DEFINITION = re.compile(r"^[ \t]*(?:async )?def \w+\(", re.MULTILINE)
IN_A_LINE = re.compile(r"(?:^|[\s`:>])(def solution\([^()\n]*\)[^:\n]*:[ \t]*[^\s`][^`\n]*)")
QUOTED = re.compile(r"(?:^[ \t]*>(?!>)[^\n]*(?:\n|\Z))+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a completion says; `hidden` is the same text with blank strings in its code."""

    text: str
    hidden: str
    ended: bool  # an end of turn follows
    thinking: bool  # its last reasoning was never ended


def final_reply(completion: str) -> str:
    """What the model said to the user: without its reasoning and without chat tokens.

    Reasoning that was never closed runs to the end, so that nothing of it counts as an answer. Where a template has
    opened the reasoning in the prompt, everything before its end is reasoning. Marks in strings of code are no marks.
    """
    return _reply(completion).text


def until_next_question(text: str, start: int = 0) -> str:
    """`text` up to where a made-up next task begins after `start`: ``Question:``, ``### Problem 2``, ``<|user|>``."""
    following = next_task(hide_strings(text), start)
    return text if following is None else text[:following]


def finished_reply(completion: str, *, program: bool) -> str | None:
    """What a completion that the token limit has cut off had finished before the cut; None if it had nothing.

    Finished is what an end of turn, a made-up next task, the closing fence of a program or ``</answer>`` stands behind.
    """
    reply = _reply(completion, cut_off=True)
    if reply.thinking:
        return None
    if reply.ended:
        return reply.text
    blocks = find_code(reply.text, cut_off=True) if program else []
    following = next_task(reply.hidden, _first_definition(reply.text) if program else 0)
    if following is not None:
        return reply.text[:following] if reply.text[:following].strip() else None
    if not program:
        answered = reply.text.rpartition("</answer>")[0]
        return f"{answered}</answer>" if answered else None
    closed = [block for block in blocks if block.closed]
    if not closed or any(block.defines_solution for block in blocks if block.start > closed[-1].end):
        return None
    fence = reply.text.find("\n", closed[-1].end + 1)
    return reply.text if fence < 0 else reply.text[:fence]


def extract_program(completion: str) -> str | None:
    """Source of the program in `completion`, or None where there is none; nothing is run, nothing raised.

    In this order: the last fenced block that defines ``solution()`` (a Python one before others), unfenced code that
    does, the last fenced Python block, the last untagged one, unfenced code with any function, a ``def solution()`` in
    a line of prose, the same in quoted lines (``> ``). Unfenced code begins at its first import, definition, decorator
    or constant and ends where prose follows. What the program needs of other code in the reply is put in front of it.
    """
    text = final_reply(completion)
    return _program(text) or _program(final_reply(QUOTED.sub(_unquoted, completion)))


def _reply(completion: str, *, cut_off: bool = False) -> Reply:
    text = completion.replace("\r\n", "\n")
    hidden = hide_strings(text, cut_off=cut_off)
    kept, thinking = without_reasoning(hidden)
    text, hidden = _pieces(text, kept), _pieces(hidden, kept)
    headers = [match.span() for match in REPLY_HEADERS.finditer(hidden)]
    starts, ends = [0, *(end for _, end in headers)], [*(start for start, _ in headers), len(text)]
    text, hidden = (_pieces(version, list(zip(starts, ends, strict=True))) for version in (text, hidden))
    blank = len(text) - len(text.lstrip("\n"))
    text, hidden = text[blank:], hidden[blank:]
    end = END_OF_TURN.search(hidden)
    user = USER_TURN.search(hidden, 1)
    stop = min((match.start() for match in (end, user) if match), default=len(text))
    return Reply(text[:stop], hidden[:stop], bool(end or user), thinking)


def _pieces(text: str, spans: list[tuple[int, int]]) -> str:
    return "".join(text[start:end] for start, end in spans)


def _unquoted(lines: re.Match[str]) -> str:
    return re.sub(r"^[ \t]*> ?", "", lines[0], flags=re.MULTILINE)


def _first_definition(text: str) -> int:
    """Behind the first function of `text`: a task that stands before it is the one that it answers."""
    definition = DEFINITION.search(text)
    return definition.end() if definition else 0


def _program(text: str) -> str | None:
    text = until_next_question(text, _first_definition(text))
    blocks = [block for block in find_code(text) if block.source.strip()]
    fenced, bare = [b for b in blocks if b.tag is not None], [b for b in blocks if b.tag is None]
    if solving := [block for block in fenced if block.defines_solution]:
        chosen = _last_python(solving)
    elif solving := [block for block in bare if block.defines_solution]:
        chosen = solving[0]
    elif python := [block for block in fenced if block.is_python or not block.tag]:
        chosen = _last_python(python)
    elif defining := [block for block in bare if DEFINITION.search(block.source)]:
        chosen = defining[0]
    else:
        return found[1].rstrip() if (found := IN_A_LINE.search(text)) else None
    place = blocks.index(chosen)
    others = [_source(block) for block in [*blocks[:place], *blocks[place + 1 :]]]
    return with_definitions(_source(chosen), others)


def _last_python(blocks: list[Code]) -> Code:
    return max(enumerate(blocks), key=lambda item: (item[1].is_python, item[0]))[1]


def _source(block: Code) -> str:
    """The block's program; of unfenced code without lines of prose in front that look like an assignment."""
    source = textwrap.dedent(block.source).strip("\n").rstrip()
    certain = CERTAIN_FIRST_LINE.search(source)
    if block.tag is not None or not certain or (parses(source) and can_stand(source)):
        return source
    later = source[certain.start() :]
    definition = DEFINITION.search(later)
    return later if parses(later) or not definition else _from(later, definition)


def _from(source: str, definition: re.Match[str]) -> str:
    """`source` from its function on, if it is a program from there and not before."""
    alone = source[definition.start() :]
    return alone if parses(alone) else source
