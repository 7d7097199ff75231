"""Which of several teachers gives a sample: together they give each once, and a change moves its part alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Literal

import pytest

from raydistill.actors.errors import UsageError
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.sampling.teachers.shares import Candidate, Share

QUESTIONS = [Question.make("t", f"q{place}", "1", level=place % 3) for place in range(2000)]
PAIR = (Candidate("small", 3), Candidate("large", 1))
By = Literal["one", "several"]


def owners(candidates: tuple[Candidate, ...], samples_from: By = "one", n: int = 2) -> dict[str, str]:
    """The teacher of each sample by its id."""
    found: dict[str, str] = {}
    for one in candidates:
        share = Share(one.name, candidates, samples_from)
        for question in QUESTIONS:
            for index in share.of(question, "x", range(n)):
                sample = f"{question.id}/x/{index}"
                assert sample not in found
                found[sample] = one.name
    return found


@pytest.mark.parametrize("samples_from", ["one", "several"])
def test_each_sample_has_one_teacher_by_weight(samples_from: By) -> None:
    found = owners(PAIR, samples_from)
    assert len(found) == 2 * len(QUESTIONS)
    assert Counter(found.values())["small"] / len(found) == pytest.approx(0.75, abs=0.04)  # four standard errors
    assert found == owners(PAIR[::-1], samples_from)
    together = sum(found[f"{q.id}/x/0"] == found[f"{q.id}/x/1"] for q in QUESTIONS)
    assert together == len(QUESTIONS) if samples_from == "one" else together < 0.7 * len(QUESTIONS)


@pytest.mark.parametrize("samples_from", ["one", "several"])
def test_more_samples_of_a_question_change_none_of_the_first(samples_from: By) -> None:
    few, more = owners(PAIR, samples_from, 2), owners(PAIR, samples_from, 5)
    assert few == {sample: name for sample, name in more.items() if sample in few}


def test_another_teacher_or_weight_moves_its_own_part_alone() -> None:
    before, third = owners(PAIR), owners((*PAIR, Candidate("third", 1)))
    assert all(third[sample] in (name, "third") for sample, name in before.items())
    heavier = owners((PAIR[0], replace(PAIR[1], weight=3)))
    moved = {(before[sample], heavier[sample]) for sample in before if before[sample] != heavier[sample]}
    assert moved == {("small", "large")}


def test_a_teacher_takes_the_questions_that_it_is_for() -> None:
    hard = Candidate("hard", 1, (("level", ("1", "2")),))
    found = owners((Candidate("any", 1), hard))
    levels = {question.id: question.meta["level"] for question in QUESTIONS}
    taken = Counter((levels[sample.partition("/")[0]], name) for sample, name in found.items())
    assert taken[0, "hard"] == 0 and taken[0, "any"] and taken[1, "hard"] and taken[2, "any"]
    with pytest.raises(UsageError, match=r"none takes 667 questions, with level=0 \(667\).*columns.*level"):
        Share("hard", (hard,)).check(QUESTIONS)
    Share("any", (Candidate("any"), hard)).check(QUESTIONS)
