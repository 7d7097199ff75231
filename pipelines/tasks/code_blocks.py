"""Code in a text: fenced blocks, and lines that look like code; which of its characters are strings and comments.

    text --find_code--> Code(tag, source, start, end, ...), ...     text --hide_strings--> text of blank strings

Nothing here parses Python: what models write may be cut off, or no Python at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

IMPORT = r"(?:import [\w., ]+|from [\w.]+ import [\w.,* ()]+)(?:#.*)?$"
ASSIGNED = r"[A-Za-z_]\w*(?:[ \t]*:[ \t]*[\w.\[\], ]+)?[ \t]*="
PROSE = "So|Thus|Hence|Therefore|Then|First|Second|Now|Finally|Here|Next|Also|And|But|Where|Let|Since|Given"
UNPACKED = rf"(?!(?:{PROSE})\b)[A-Za-z_]\w*(?:,[ \t]*\*?[A-Za-z_]\w*)+[ \t]*=[^=\n]*,"
FIRST_LINE = re.compile(
    rf"[ \t]*(?:{IMPORT}|(?:async )?(?:def|class) \w|@[A-Za-z_][\w.]*(?:\(.*)?$|{ASSIGNED}[^=]|{UNPACKED})", re.M
)
CERTAIN_FIRST_LINE = re.compile(rf"[ \t]*(?:{IMPORT}|(?:async )?(?:def|class) \w|@[A-Za-z_][\w.]*(?:\(.*)?$)", re.M)
BEHIND_MARK = re.compile(r"[^\n]*?[>\]▷](?=(?:def|class|import|from) \w|@\w)")  # of a turn, or of reasoning
# A line at the margin that can belong to a program; any other one is the prose that follows it.
CODE_LINE = re.compile(
    rf"{IMPORT}|[#@)\]}}]|\"\"\"|'''|(?:async )?(?:def|class) \w"
    r"|(?:async )?(?:if|elif|else|for|while|try|except|finally|with|match)\b.*:\s*(?:#.*)?$|assert \w+\("
    rf"|{ASSIGNED}[^=]|{UNPACKED}|[A-Za-z_][\w.]*\s*(?:\(|\[|[-+*/]?=[^=])",
    re.M,
)
PYTHON_TAGS = frozenset({"python", "python3", "py", "py3", "ipython", "sage", "tool_code"})
FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})[ \t]*(\{?\.?[\w+-]*\}?)([^\n]*)")
FENCE_IN_LINE = re.compile(
    rf"(?![ \t]*>)[^\n`~]*?[\s:>*.]()(`{{3,}}|~{{3,}})[ \t]*((?:{'|'.join(sorted(PYTHON_TAGS))})\b)([^\n]*)", re.I
)
SOLUTION = re.compile(r"^[ \t]*(?:async )?def solution\b", re.MULTILINE)
TOKEN = re.compile(
    r"(?P<comment>#[^\n]*)|(?P<triple>\"\"\"|''')|(?P<string>\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')"
    r"|(?P<open>[\"'](?:\\.|[^\\\n])*\Z)|(?P<fence>`{3,}|~{3,})[ \t]*(?=\n|\Z)|\n",
    re.DOTALL,
)


@dataclass(slots=True)
class Code:
    """A piece of code; ``Code("python", "x = 1", 10, 15)`` of characters 10 to 15. Unfenced code has the tag None."""

    tag: str | None
    source: str
    start: int
    end: int
    closed: bool = False  # it has a closing fence
    strings: list[tuple[int, int]] = field(default_factory=list)  # what stands between the quotes, places in the text
    comments: list[tuple[int, int]] = field(default_factory=list)

    @property
    def defines_solution(self) -> bool:
        return SOLUTION.search(self.source) is not None

    @property
    def is_python(self) -> bool:
        return self.tag in PYTHON_TAGS


def find_code(text: str, *, cut_off: bool = False) -> list[Code]:
    """All fenced blocks and all unfenced code of `text`, in order."""
    found: list[Code] = []
    place = 0
    while place < len(text):
        line_end = text.find("\n", place)
        line_end = len(text) if line_end < 0 else line_end
        if fence := FENCE.match(text, place, line_end) or FENCE_IN_LINE.match(text, place, line_end):
            place = _fenced(text, fence, line_end, found, cut_off)
        elif FIRST_LINE.match(text, place, line_end):
            place = _unfenced(text, place, found, cut_off)
        else:
            behind = BEHIND_MARK.match(text, place, line_end)
            place = behind.end() if behind else line_end + 1
    return found


def hide_strings(text: str, *, cut_off: bool = False) -> str:
    """`text` with blanks in place of what stands in strings of its code, and in comments of closed blocks.

    Of a text that was `cut_off`, a string that does not end runs to the end.
    """
    pieces, place = [], 0
    for code in find_code(text, cut_off=cut_off):
        for start, end in sorted(code.strings + (code.comments if code.closed else [])):
            pieces += [text[place:start], "\0" * (end - start)]
            place = end
    return "".join([*pieces, text[place:]])


def _fenced(text: str, fence: re.Match[str], line_end: int, found: list[Code], cut_off: bool) -> int:
    """Add the block that `fence` opens; returns where the search goes on."""
    indent, mark, tag, rest = fence.groups()
    name = tag.strip("{}.").lower()
    first = fence.start(4)
    if closing := re.search(rf"{mark[0]}{{{len(mark)},}}(?!.*{mark[0]}{{3}})", rest):  # a block of one line
        code = rest[: closing.start()]
        if name not in PYTHON_TAGS and re.match(rf"{CODE_LINE.pattern}", f"{tag}{rest}"):
            name, code = "", f"{tag}{code}"
        found.append(Code(name, code.strip(), first, first + closing.start(), closed=True))
        return fence.start(4) + closing.end()
    if name in PYTHON_TAGS and CERTAIN_FIRST_LINE.match(rest):
        first += len(rest) - len(rest.lstrip())
    elif rest.strip() and CERTAIN_FIRST_LINE.match(f"{tag}{rest}"):
        name, first = "", fence.start(3)
    else:  # nothing, or attributes of the block
        first = line_end + 1
    block = Code(name, "", first, len(text))
    found.append(block)
    place = _lex(text, block, mark, cut_off)
    lines = text[first : block.end].split("\n")
    block.source = "\n".join(line.removeprefix(indent) for line in lines)
    return place


def _lex(text: str, block: Code, mark: str | None, cut_off: bool) -> int:
    """Find the end of `block`, with its strings and comments; returns where the search for code goes on.

    A fenced block ends with a fence that stands in no string, an unfenced one (`mark` None) with a line of prose.
    """
    place = block.start
    margin = len(text[place:]) - len(text[place:].lstrip(" \t"))
    at_line = True
    while place <= len(text):
        if at_line and (end := _ends_here(text, place, mark, margin)) is not None:
            block.end, block.closed = max(block.start, place - 1), mark is not None and end > place
            return max(end, place)
        token = TOKEN.search(text, place)
        if token is None:
            break
        place, at_line = token.end(), token[0] == "\n"
        if token["open"]:
            if cut_off:
                block.strings.append((token.start() + 1, token.end()))
        elif token["comment"]:
            block.comments.append(token.span())
            inner = re.search(r"(?:`{3,}|~{3,})[ \t]*$", token[0])
            if mark and inner and text[: token.start()].rpartition("\n")[2].strip():
                block.end, block.closed = token.start() + inner.start(), True
                return token.end()
        elif token["string"]:
            block.strings.append((token.start() + 1, token.end() - 1))
        elif token["triple"]:
            place = _end_of_string(text, token, block, cut_off)
        elif token["fence"] and mark and token["fence"][0] == mark[0]:
            block.end, block.closed = token.start(), True
            return token.end()
    block.end = len(text)
    return len(text)


def _end_of_string(text: str, quotes: re.Match[str], block: Code, cut_off: bool) -> int:
    """Where a string in triple quotes ends; right behind them where it does not, as in a draft that was given up."""
    end = re.compile(rf"(?:\\.|[^\\])*?{quotes[0]}", re.DOTALL).match(text, quotes.end())
    if end is None and cut_off:
        block.strings.append((quotes.end(), len(text)))
        return len(text)
    if end is None or SOLUTION.search(end[0]):
        return quotes.end()
    block.strings.append((quotes.end(), end.end() - 3))
    return end.end()


def _ends_here(text: str, place: int, mark: str | None, margin: int) -> int | None:
    """Whether the code ends before the line at `place`: None, or where the search goes on."""
    line_end = text.find("\n", place)
    line = text[place : len(text) if line_end < 0 else line_end]
    fence = FENCE.match(line)
    if mark is None:
        outside = line.strip() and len(line) - len(line.lstrip()) <= margin and not CODE_LINE.match(line.strip())
        return place if fence or outside else None
    if fence is None:
        return None
    tagged, same = bool(fence[3]), fence[2][0] == mark[0] and len(fence[2]) >= len(mark)
    if tagged and (not fence[4].strip() or fence[3].lower() in PYTHON_TAGS):
        return place  # a tag opens a block even where the last one was not closed
    return place + fence.end(2) if same else None  # prose may follow


def _unfenced(text: str, place: int, found: list[Code], cut_off: bool) -> int:
    """Add the unfenced code that begins at `place`; returns where the search goes on."""
    block = Code(None, "", place, len(text))
    after = _lex(text, block, None, cut_off)
    lines = text[place : block.end].split("\n")
    margin = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    block.source = "\n".join(line.removeprefix(margin) for line in lines).rstrip()
    found.append(block)
    return max(after, place + 1)
