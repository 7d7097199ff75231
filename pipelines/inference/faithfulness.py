"""What scores the steps of an unfinished program in a beam search: faithfulness to the question, and running it.

A step is a completed line of the program that says something: blank lines, fences and ``def solution():`` are none.
"""

from __future__ import annotations

import codeop
import math
import re
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from raydistill.actors.executor import Program
from raydistill.actors.retrieval.encoder import SentenceEncoder
from raydistill.pipelines.sampling.plan import Completer
from raydistill.pipelines.tasks.extract import extract_program

if TYPE_CHECKING:
    import numpy as np

NO_STEP = re.compile(r"\s*(?:(?:```|~~~).*|def solution\(.*\).*:)?\s*")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
RAISING = ("exception:", "syntax", "recursion", "memory", "cpu", "timeout")
LEAST = 1e-6  # of a faithfulness, so that its logarithm is finite


def steps(text: str, *, finished: bool) -> list[str]:
    """The completed steps of a completion; its last line is one only if it is finished."""
    lines = text.split("\n")
    return [line.strip() for line in (lines if finished else lines[:-1]) if not NO_STEP.fullmatch(line)]


class Faithfulness:
    """ROSCOE's faithfulness of a step: the mean over its lines, here one, of max over the question's sentences of
    (1 + cos) / 2 between sentence embeddings (arXiv 2305.13888, section 2.4)."""

    def __init__(self, encoder: str) -> None:
        self._encoder = encoder

    @cached_property
    def _vector(self) -> Callable[[str], np.ndarray]:
        """The embedding of a text; the model is loaded at first use, so that this travels light."""
        encoder = SentenceEncoder(self._encoder)
        return lru_cache(maxsize=4096)(lambda text: encoder.encode([text])[0])

    def score(self, question: str, lines: Sequence[str]) -> list[float]:
        """The faithfulness of each line to the question, in [0, 1]."""
        import numpy as np

        sentences = np.stack([self._vector(sentence) for sentence in SENTENCE_END.split(question.strip())])
        return [float((1 + (sentences @ self._vector(line)).max()) / 2) for line in lines]

    def log(self, question: str, lines: Sequence[str]) -> float:
        """The sum over the lines of the logarithm of their faithfulness."""
        return sum(math.log(max(LEAST, f)) for f in self.score(question, lines))


class ProgramSoFar:
    """Runs unfinished programs, with `pass` where a block has no line yet; what cannot be run yet is not judged."""

    def __init__(self, executors: Completer) -> None:
        self._executors = executors

    async def raising(self, texts: Sequence[str]) -> list[bool]:
        """For each completion so far whether its program raises when it is called."""
        sources = [runnable(text) for text in texts]
        raising: list[bool] = [source == "" for source in sources]
        programs = [Program(str(place), source) for place, source in enumerate(sources) if source]
        verdicts: list[Any] = await self._executors.call("run", programs) if programs else []
        for verdict in verdicts:
            raising[int(verdict.id)] = verdict.status == "failed" and verdict.reason.startswith(RAISING)
        return raising


def runnable(text: str) -> str | None:
    """The program in a completion so far, made complete; None where it cannot be run yet, "" where it never can."""
    source = extract_program(text)
    if not source:
        return None
    if (state := _compiles(source)) is not None:
        return source if state else ""
    last = source.rpartition("\n")[2]
    block = f"{source}\n{last[: len(last) - len(last.lstrip())]}    pass\n"
    return block if _compiles(block) else None


def _compiles(source: str) -> bool | None:
    """Whether `source` is valid Python; None where more lines could make it so."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return codeop.compile_command(source, symbol="exec") is not None or None
    except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
        return False
