"""The program in a completion, and the part of a completion that counts at all.

    completion --final_reply--> without <think> and chat tokens --extract_program--> source | None

Extraction only finds the text: whether it is Python, and what it returns, is for the executor to judge. So a
truncated or broken program is returned as it stands, and nothing here parses or runs it.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

END_OF_TURN = re.compile(r"<\|(?:im_end|eot_id|eom_id|endoftext|end_of_text|end)\|>|</s>|<eos>|<end_of_turn>")
TURN_HEADER = re.compile(
    r"<\|start_header_id\|>assistant<\|end_header_id\|>|<\|im_start\|>assistant|<\|assistant\|>|<start_of_turn>model"
)
REASONING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
NEXT_QUESTION = re.compile(r"\n(?:\*\*|#+ )?(?:Question|Q)(?: \d+)?\s*:")

SOLUTION = re.compile(r"^[ \t]*def solution\b", re.MULTILINE)
DEFINITION = re.compile(r"^[ \t]*def \w+\(", re.MULTILINE)
IMPORT = r"(?:import [\w., ]+|from [\w.]+ import [\w.,* ()]+)(?:#.*)?$"
FIRST_CODE = re.compile(rf"^[ \t]*(?:{IMPORT}|(?:def|class) \w)", re.MULTILINE)
# A line at the margin that can belong to a program; any other one is the prose that follows it.
CODE_LINE = re.compile(
    rf"{IMPORT}|[#@)\]}}]|\"\"\"|'''|(?:def|class) \w"
    r"|(?:if|elif|else|for|while|try|except|finally|with)\b.*:\s*$"
    r"|[A-Za-z_][\w.]*\s*(?:\(|\[|[-+*/]?=[^=])"
)
FENCE = re.compile(r"^[ \t]*(?:```|~~~)[`~]*[ \t]*([\w+-]*)")
PYTHON_TAGS = frozenset({"python", "python3", "py", "tool_code"})


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; ``Block("python", "x = 1")``. One cut off by the token limit has no closing fence."""

    tag: str
    source: str

    @property
    def defines_solution(self) -> bool:
        return SOLUTION.search(self.source) is not None

    @property
    def is_python(self) -> bool:
        return self.tag in PYTHON_TAGS


def final_reply(completion: str) -> str:
    """What the model said to the user: without the reasoning in ``<think>`` and without chat tokens.

    Reasoning that was never closed runs to the end, so that nothing of it counts as an answer. Where a
    template has opened the reasoning in the prompt, everything before ``</think>`` is reasoning.
    """
    text = REASONING.sub("", completion.replace("\r\n", "\n")).rpartition("</think>")[2]
    text = TURN_HEADER.sub("", text).lstrip("\n")
    end = END_OF_TURN.search(text)
    return text[: end.start()] if end else text


def until_next_question(text: str, start: int = 0) -> str:
    """`text` up to the first line after `start` that begins a made-up next ``Question:``."""
    following = NEXT_QUESTION.search(text, start)
    return text[: following.start()] if following else text


def extract_program(completion: str) -> str | None:
    """Source of the program in `completion`, or None where there is none; nothing is run, nothing raised.

    In this order: the last fenced block that defines ``solution()`` (a Python one before others), unfenced
    code that does, the last fenced Python block, the last untagged one, unfenced code with any function.
    Unfenced code begins at its first import or definition and ends where prose follows.
    """
    text = final_reply(completion)
    definition = DEFINITION.search(text)
    text = until_next_question(text, definition.end() if definition else 0)
    blocks = [block for block in _fenced_blocks(text) if block.source.strip()]
    if complete := [block for block in blocks if block.defines_solution]:
        return _last_python(complete)
    if solution := SOLUTION.search(text):
        return _unfenced_program(text, solution)
    if python := [block for block in blocks if block.is_python or not block.tag]:
        return _last_python(python)
    return _unfenced_program(text, definition) if definition else None


def _fenced_blocks(text: str) -> list[Block]:
    blocks: list[Block] = []
    tag: str | None = None
    lines: list[str] = []
    for line in text.split("\n"):
        fence = FENCE.match(line)
        if not fence:
            lines.append(line)
            continue
        if tag is not None:
            blocks.append(Block(tag, "\n".join(lines)))
        opens = tag is None or fence[1] != ""  # a tag opens a block even where the last one was not closed
        tag, lines = (fence[1].lower() if opens else None), []
    if tag is not None:
        blocks.append(Block(tag, "\n".join(lines)))
    return blocks


def _last_python(blocks: list[Block]) -> str:
    chosen = max(enumerate(blocks), key=lambda item: (item[1].is_python, item[0]))[1]
    return textwrap.dedent(chosen.source).strip("\n").rstrip()


def _unfenced_program(text: str, definition: re.Match[str]) -> str:
    """The code from the first import or definition on, if it reaches `definition`, else from there."""
    first = FIRST_CODE.search(text)
    if first and first.start() < definition.start():
        program = _code_lines(text[first.start() :])
        if definition[0].strip() in program:
            return program
    return _code_lines(text[definition.start() :])


def _code_lines(text: str) -> str:
    """The leading lines of `text` that are indented, blank, inside a docstring, or look like code."""
    lines = text.split("\n")
    margin = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    kept: list[str] = []
    in_docstring = False
    for line in lines:
        line = line.removeprefix(margin)
        if not in_docstring and line.strip() and not line[0].isspace() and not CODE_LINE.match(line):
            break
        kept.append(line)
        in_docstring ^= line.count('"""') % 2 == 1
    return "\n".join(kept).rstrip()
