"""What a demo model is taught: an `Example` is one training text, a `Skill` a kind of example with its own check.

Every skill module exports a generator (`Random -> Example`, or a ``gsm_symbolic`` instance and a `Random` to one),
a check (examples and completions to one bool each) and a count of distinct outputs; ``demo.mixture`` puts them
into one table.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from raydistill.demo import gsm

Check = Callable[[Sequence["Example"], Sequence[str]], list[bool]]
"""Whether each completion is a right answer to its example. Model-written programs run in the executor only."""

Distinct = Callable[[Sequence[str]], int]
"""How many really different outputs there are among right completions of one example."""


@dataclass(frozen=True)
class Example:
    """One training text: what is asked and what the model should say."""

    prompt: str  # content of the user's last turn; "" for plain text without a chat turn
    completion: str
    question: gsm.Instance | None = None  # the gsm_symbolic instance that the text is about, if any
    prompt_weight: float = 0.0  # loss weight of the prompt's tokens; the completion's is 1
    turns: tuple[tuple[str, str], ...] = ()  # earlier (user, assistant) turns: demonstrations of a context
    turns_weight: float = 0.0  # loss weight of the earlier assistant turns, where they are worth learning too
    focus: re.Pattern[str] | None = None  # what decides whether the completion is right: its tokens weigh more
    key: Any = None  # what the skill's check needs beyond the texts: the gold answer, the row, the wrong step


@dataclass(frozen=True)
class Skill:
    """A kind of example, its relative share (in examples) of each model's mixture, and how it is graded."""

    name: str
    meaning: str
    shares: dict[str, float]  # model name -> weight; a model that is not named never sees the skill
    check: Check | None = None  # None: not graded
    distinct: Distinct | None = None  # None: one right output per input is all that is asked for
    sampled: bool = False  # whether accuracy is also measured at the demo's sampling temperature
    invent: Callable[[Random], Example] | None = None  # makes an example up, or ...
    about: Callable[[gsm.Instance, Random], Example] | None = None  # ... makes it of a gsm_symbolic instance
    templates: tuple[int, ...] = ()  # those that `about` is drawn from

    def draw(self, rng: Random) -> Example:
        """An example for training."""
        if self.invent:
            return self.invent(rng)
        return self.about(gsm.training_instance(rng.choice(self.templates), rng), rng)
