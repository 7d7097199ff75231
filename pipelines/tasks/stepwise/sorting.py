"""Word sorting: ``Sort the following words alphabetically: List: plum fig kiwi``, one word per step.

The words come from reasoning-gym's word_sorting, in BIG-bench's form of the question.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from raydistill.pipelines.tasks.answers import Choices, Kind
from raydistill.pipelines.tasks.stepwise.base import Fault, StepwiseTask, UnreadableQuestion, another

QUESTION = "Sort the following words alphabetically: List: {words}"
ASKED = re.compile(r"Sort the following words alphabetically:\s*List:\s*(?P<words>\S.*)", re.DOTALL)
STEP = re.compile(r"(?P<word>\S+) comes first, leaving (?P<left>.+?)\.?")
WORDS = {1: (3, 4, 5), 2: (5, 6, 5), 3: (7, 9, 7), 4: (10, 14, 9)}  # level -> fewest, most words; most letters
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Words:
    """The words taken so far, in the order in which they were taken, and the words that are left."""

    taken: tuple[str, ...]
    left: tuple[str, ...]


class WordSorting(StepwiseTask[Words]):
    """Each step takes the first of the words that are left. Order is that of the characters' code points."""

    name = "word_sorting"
    answer_kind = "text"
    kinds = ("order", "misspelt", "dropped", "altered", "repeated", "answer")

    def ask(self, level: int, rng: Random) -> str:
        """Different lower-case words of three letters or more."""
        while True:
            item = dataset(*WORDS[level])[rng.randrange(2**31)]
            words = item["metadata"]["transformed_words"]
            if len(set(words)) == len(words) and all(re.fullmatch("[a-z]+", word) for word in words):
                return QUESTION.format(words=" ".join(words))

    def start(self, question: str) -> Words:
        asked = ASKED.fullmatch(question.strip())
        if not asked:
            raise UnreadableQuestion(
                f"word_sorting: expected {QUESTION.format(words='b c a')!r}, got {question[:80]!r}"
            )
        return Words((), tuple(asked["words"].split()))

    def propose(self, state: Words) -> str | None:
        if len(state.left) < 2:
            return None
        first = min(state.left)
        return written(first, without(state.left, first))

    def judge(self, state: Words, text: str) -> Fault | None:
        step = STEP.fullmatch(text)
        if not step:
            return Fault(text, "The step should read: a comes first, leaving b c")
        word, left = step["word"], step["left"].split()
        if word not in state.left:
            return Fault(word, f"{word} is not among {' '.join(state.left)}")
        if word != min(state.left):
            return Fault(word, f"{min(state.left)} comes before {word}")
        expected = Counter(without(state.left, word))
        for extra in Counter(left) - expected:
            return Fault(extra, f"{extra} is not among the words left")
        for missing in expected - Counter(left):
            return Fault(step["left"], f"{missing} is missing")
        return None

    def follow(self, state: Words, text: str) -> Words | None:
        step = STEP.fullmatch(text)
        return Words((*state.taken, step["word"]), tuple(step["left"].split())) if step else None

    def conclude(self, state: Words) -> str:
        return " ".join((*state.taken, *sorted(state.left)))

    def same_answer(self, stated: str, answer: str) -> bool:
        return stated.split() == answer.split()

    def spelling(self, stated: str, kind: Kind, choices: Choices | None = None) -> str:
        return " ".join(stated.split())

    def wrong_answer(self, state: Words, answer: str, rng: Random) -> str:
        words = answer.split()
        swapped = [[*words[:i], words[i + 1], words[i], *words[i + 2 :]] for i in range(len(words) - 1)]
        return another([" ".join(order) for order in swapped], answer, rng)

    def spoil(self, kind: str, state: Words, text: str, rng: Random) -> str | None:
        first = min(state.left)
        left = list(without(state.left, first))
        if kind == "order":
            later = rng.choice(left)
            return written(later, without(state.left, later)) if later > first else None
        if kind == "misspelt":
            return written(misspelt(first, state.left, rng), left)
        place = rng.randrange(len(left))
        if kind == "altered":
            left[place] = misspelt(left[place], state.left, rng)
        elif kind == "repeated":
            left.insert(place, first)
        elif len(left) > 1:  # dropped
            del left[place]
        else:
            return None
        return written(first, left)


def written(word: str, left: tuple[str, ...] | list[str]) -> str:
    return f"{word} comes first, leaving {' '.join(left)}"


def without(words: tuple[str, ...], word: str) -> tuple[str, ...]:
    """`words` without the first occurrence of `word`."""
    place = words.index(word)
    return words[:place] + words[place + 1 :]


def misspelt(word: str, known: tuple[str, ...], rng: Random) -> str:
    """`word` with one letter changed, none of the `known` words."""
    while True:
        place = rng.randrange(len(word))
        changed = word[:place] + rng.choice(LETTERS) + word[place + 1 :]
        if changed not in known:
            return changed


@cache
def dataset(fewest: int, most: int, longest: int) -> Any:
    """reasoning-gym's questions with this many words; any index below 2**31 is one."""
    import reasoning_gym
    from reasoning_gym.algorithmic.word_sorting import TextTransformation

    return reasoning_gym.create_dataset(
        "word_sorting", size=2**31, seed=0, min_words=fewest, max_words=most,
        min_word_length=3, max_word_length=longest, transformation=TextTransformation.LOWERCASE,
    )  # fmt: skip
