"""Programs made from worked solutions whose arithmetic is marked: the same steps, once as code and once as text.

    "He sold 48/2 = <<48/2=24>>24 in May. ... 48+24 = <<48+24=72>>72 #### 72"
    --program_of--> "step1 = 48/2  # He sold ..."   --text_of--> "He sold 48/2 = 24 in May. ... The answer is 72."

GSM8K marks its sums this way (arXiv 2110.14168, section 2). A number that an earlier step gave is that step's name.
"""

from __future__ import annotations

import re

from benchmarks.replications.real.calculator import value_of

_MARKED = re.compile(r"<<([^=<>]+)=([^<>]+)>>")
_NUMBER = re.compile(r"(?<![\w.])\d*\.?\d+%?")
_SUM = re.compile(r"[\d\s.+\-*/()%]+")
TOLERANCE = 1e-4  # of an answer, relative


def program_of(solution: str, answer: float) -> str | None:
    """A ``solution()`` of the marked steps that returns `answer`; None where they do not lead there."""
    known: dict[str, float] = {}
    lines = ["def solution():"]
    for number, (left, _) in enumerate(_MARKED.findall(solution), 1):
        if not _SUM.fullmatch(left) or (value := value_of(left)) is None:
            return None
        lines.append(f"    step{number} = {_with_names(left, known)}")
        known[f"step{number}"] = value
    if not known or abs([*known.values()][-1] - answer) > TOLERANCE * max(1.0, abs(answer)):
        return None
    return "\n".join([*lines, f"    return step{len(known)}"])


def text_of(solution: str, answer: str) -> str:
    """The same solution as a rationale: without marks, its answer in a sentence."""
    steps, _, _ = solution.partition("####")
    return f"{_MARKED.sub('', steps).strip()}\nThe answer is {answer}."


def _with_names(left: str, known: dict[str, float]) -> str:
    """The sum with the name of the latest step for each number that is its value; percents as hundredths."""
    names = {value: name for name, value in known.items()}

    def named(found: re.Match[str]) -> str:
        number = found[0]
        if number.endswith("%"):
            return f"{number[:-1]}/100"
        return names.get(float(number), re.sub(r"^0+(?=\d)", "", number))

    return _NUMBER.sub(named, left.strip())
