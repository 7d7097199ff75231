"""From what the teacher wrote about retrieved rows to examples of the task: parsed, guarded, checked, balanced.

    candidates of a row --parse--> Rewritten --Guards--> --right answer?--> the row's example --balanced--> examples

An answer is right where the task has a checker and it says so; otherwise where most of the teacher's own fresh answers
to the question agree with it (self-consistency). Everything that is dropped is counted with its reason:

    length, not_json                the text was cut off at the token limit, or is not what the schema asks for
    empty_field                     a field is empty: the teacher finds nothing in the row
    (the reasons of Guards)         the input must not become an example
    wrong_answer, no_answer         the checker has another answer, or finds none: no question of the task
    no_majority, wrong_majority     the fresh answers differ too much, or agree on another answer
    surplus                         the row has an example already
    unbalanced, over_limit          there are more examples of its label than of the rarest, or than asked for
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from raydistill.pipelines.data.decontamination import Guards
from raydistill.pipelines.data.records import Question, Sample
from raydistill.pipelines.data.rewritten import Rewritten, parse
from raydistill.pipelines.recipes.rebase.checker import load_checker
from raydistill.pipelines.recipes.rebase.config import ReBase
from raydistill.pipelines.recipes.rebase.prompts import answer_kind, keys_of
from raydistill.pipelines.recipes.rebase.retrieved_rows import as_it_is
from raydistill.pipelines.tasks.answers import Kind, canonical


@dataclass
class Rewriting:
    """Accepts or drops the candidates of rows, in the order in which they are shown to it.

    `check` gives the right answer to an input, None where it finds none. Without it, `answers` must come along, unless
    `votes` is false and all answers are taken for right.
    """

    config: ReBase
    guards: Guards
    check: Callable[[str], str | None] | None = None
    votes: bool = True
    checked_by: object = None  # the version of `check`, which is the user's
    dropped: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, config: ReBase, guards: Guards) -> Rewriting:
        """The checks that `config` asks for; rows that are learned as they are get none."""
        if not config.rewrite:
            return cls(config, guards, votes=False)
        checker = load_checker(config.check) if ":" in config.check else None
        return cls(config, guards, checker, votes=config.check != "none", checked_by=checker and checker.version)

    @property
    def version(self) -> tuple[str, object]:
        """Of how candidates are read, guarded, checked, chosen and balanced: raise it where others may be kept."""
        return "1", self.checked_by

    @property
    def kind(self) -> Kind:
        """Of the answers, for comparing them."""
        return answer_kind(self.config)

    def of_rows(
        self, rows: Sequence[Question], replies: Mapping[str, Sequence[Sample]] | None
    ) -> dict[str, list[Rewritten]]:
        """The candidates of each row, by its id: what the teacher replied, or (None) the row as it is."""
        if replies is None:
            return {row.id: self._as_it_is(row) for row in rows}
        return {
            row.id: self.candidates([r.text for r in said], [r.finish_reason == "length" for r in said])
            for row in rows
            for said in [replies[row.id]]
        }

    def _as_it_is(self, row: Question) -> list[Rewritten]:
        """A row that is learned as it is (`rewrite: false`): the guards apply, nothing else is asked or checked."""
        example = as_it_is(row)
        reason = self.guards.check_input(example.input) if example else "one_column"
        self.dropped[reason or ""] += bool(reason)
        return [example] if example and not reason else []

    def choose_all(
        self,
        rows: Sequence[Question],
        candidates: Mapping[str, Sequence[Rewritten]],
        votes: Mapping[str, Sequence[str]] | None,
    ) -> tuple[list[tuple[Question, Rewritten]], int]:
        """Each row that has an example with it, and how many candidates have no fresh answers."""
        chosen, unanswered = [], 0
        for row in rows:
            known = [one for one in candidates[row.id] if not votes or one.input not in votes or votes[one.input]]
            unanswered += len(candidates[row.id]) - len(known)
            example = self.choose(known, [votes.get(one.input, ()) for one in known] if votes else ())
            chosen += [(row, example)] if example else []
        return chosen, unanswered

    def balanced(self, examples: Sequence[Rewritten]) -> Sequence[int]:
        """Places of the examples that are learned: balanced, and as many as wanted."""
        config = self.config
        every: Sequence[int] = range(len(examples))
        even, kept = every, every[: config.max_examples]
        if config.labels:
            even = balanced(examples, config.labels, self.kind, config.seed)
            kept = balanced(examples, config.labels, self.kind, config.seed, config.max_examples)
        self.dropped["unbalanced"] += len(every) - len(even)
        self.dropped["over_limit"] += len(even) - len(kept)
        return kept

    def candidates(self, texts: Sequence[str], cut_off: Sequence[bool] = ()) -> list[Rewritten]:
        """Those of a row's completions that have the form asked for and pass the guards.

        `cut_off` tells which of them ended at the token limit.
        """
        parsed = [parse(text, keys_of(self.config)) for text in texts]
        for place, cut in enumerate(cut_off):
            if cut and parsed[place] == "not_json":
                parsed[place] = "length"
        self.dropped.update(found for found in parsed if isinstance(found, str))
        whole = [found for found in parsed if isinstance(found, Rewritten)]
        reasons = [self.guards.check_input(found.input) for found in whole]
        self.dropped.update(reason for reason in reasons if reason)
        return [found for found, reason in zip(whole, reasons, strict=True) if not reason]

    def choose(self, candidates: Sequence[Rewritten], answers: Sequence[Sequence[str]] = ()) -> Rewritten | None:
        """The row's example: the first candidate whose answer is right.

        `answers` are the teacher's fresh answers to each candidate's input, needed where there is no checker.
        """
        reasons = [
            self._wrong(candidate, answers[number] if answers else ()) for number, candidate in enumerate(candidates)
        ]
        right = [candidate for candidate, reason in zip(candidates, reasons, strict=True) if not reason]
        self.dropped.update(reason for reason in reasons if reason)
        self.dropped["surplus"] += max(0, len(right) - 1)
        return right[0] if right else None

    def _wrong(self, candidate: Rewritten, answers: Sequence[str]) -> str | None:
        stated = canonical(candidate.output, self.kind)
        if self.check:
            solved = self.check(candidate.input)
            if solved is None:
                return "no_answer"
            return None if canonical(solved, self.kind) == stated else "wrong_answer"
        if not self.votes:
            return None
        agreed = majority([canonical(answer, self.kind) for answer in answers])
        if not agreed:
            return "no_majority"
        return None if agreed == stated else "wrong_majority"


def majority(answers: Sequence[str]) -> str | None:
    """The answer that more than half of `answers` give, None if there is none."""
    common = Counter(answers).most_common(1)
    return common[0][0] if common and 2 * common[0][1] > len(answers) else None


def balanced(
    examples: Sequence[Rewritten], labels: Sequence[str], kind: Kind, seed: int = 0, most: int | None = None
) -> list[int]:
    """Places of as many examples of each of a choice task's labels as the rarest one has, drawn; in their order.

    A label without any example sets no bound. Examples with none of the labels are left out. `most` bounds all labels
    together.
    """
    by_label: dict[str, list[int]] = {canonical(label, kind): [] for label in labels}
    for place, example in enumerate(examples):
        label = canonical(example.output, kind)
        if label in by_label:
            by_label[label].append(place)
    there = [places for places in by_label.values() if places]
    share = min(map(len, there), default=0)
    if most is not None and there:
        share = min(share, most // len(there))
    rng = Random(seed)
    return sorted(place for places in there for place in rng.sample(places, share))
