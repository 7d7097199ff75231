"""A loss term: one summand of what is minimised, with its own columns, positions, denominator and measures.

    driver   Example, Encoding --columns--> tokens.parquet --check--> workers start, or one line says why not
    worker   --units--> plan of the epochs; of each step: --count--> denominator
             of each micro-batch: --collate--> tensors --positions--> one forward pass --loss--> sums

A term is a class, whose static methods make the columns of an example, and an object of it, which knows a whole table.
The loop adds up ``loss / denominator`` of all active terms; the first one of `losses/table.py` every table has.

Batch positions count as in the logits: what position t of a row predicts is token t + 1 of that row, so a row of L
tokens has L - 1 of them. B are the rows of a micro-batch and L the tokens of its longest row.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from raydistill.actors.errors import TrainingError
from raydistill.pipelines.training.batches import alone

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import torch

    from raydistill.pipelines.data.records import Example
    from raydistill.pipelines.training.losses.forward import SharedLogits
    from raydistill.pipelines.training.tokens import TokenTable

Part = TypeVar("Part", bound="tuple[torch.Tensor, ...]")  # a term's tensors of a micro-batch: a NamedTuple


@dataclass(frozen=True, slots=True)
class Encoding:
    """Where the tokens of an example lie; its row has ``start + len(characters) + 1`` tokens, the last one the stop."""

    start: int  # tokens of the prompt
    characters: list[tuple[int, int]]  # of each token of the completion: the characters [begin, end) of it there


class LossTerm(ABC, Generic[Part]):
    """One summand of the loss; see the module. `Part` holds its tensors of a micro-batch."""

    name: ClassVar[str]  # in the history of a run and in TensorBoard
    # What is summed beside the loss, over the same denominator; the first one is the loss before its examples' weights.
    measures: ClassVar[tuple[str, ...]] = ()
    pairs_rows: ClassVar[bool] = False  # whether `units` puts rows together; at most one active term may

    def __init__(self, table: TokenTable) -> None:
        self.table = table

    @staticmethod
    @abstractmethod
    def schema() -> list[tuple[str, pa.DataType]]:
        """Its columns of the token table; those of all terms are always there."""

    @staticmethod
    @abstractmethod
    def columns(example: Example, encoding: Encoding) -> dict[str, Any]:
        """A value for each column of `schema`; empty ones where the example does not ask for the term."""

    @staticmethod
    def trained(columns: Mapping[str, Any]) -> int:
        """How many tokens a row with these columns trains on its own account; a row needs a term that trains some.

        Raises TrainingError if the term cannot train the row as it is; `tokens.py` says which example it is.
        """
        return 0

    @property
    def active(self) -> bool:
        """Whether any row of the table asks for the term; an inactive one is not called any further.

        The first term is never asked.
        """
        return True

    def check(self) -> dict[str, int] | None:
        """What the term has to work with; called once, before any worker starts.

        Of the term that puts rows together it is told in `result.json`. Raises TrainingError in one line if the term
        has nothing to work with.
        """
        return None

    def units(self, rows: Sequence[int] | np.ndarray, generator: np.random.Generator | None) -> np.ndarray:
        """`rows` as units [n, k] of rows that must share a micro-batch; -1 where a unit has fewer than k.

        An epoch draws with its `generator` and may leave rows out; without one, for validation, each row is there once.
        """
        return alone(rows)

    @abstractmethod
    def count(self, units: np.ndarray) -> int:
        """The denominator: how many of the things that the loss is a sum over there are in the units [n, k].

        It is asked for all units of an optimiser step, so that how these are cut into micro-batches and spread over
        workers does not change the gradient.
        """

    @abstractmethod
    def collate(self, units: np.ndarray, shape: tuple[int, int]) -> Part | None:
        """The term's tensors of a micro-batch, on the CPU; None if no row of it asks for the term.

        Row i of the batch is row i of ``rows_of(units)``; it is padded on the right to `shape`, (B, L).
        """

    @abstractmethod
    def positions(self, part: Part, ids: torch.Tensor) -> torch.Tensor:
        """Whose logits the loss needs, [B, L - 1] bool, for the batch's tokens `ids` [B, L]."""

    @abstractmethod
    def loss(self, part: Part, logits: SharedLogits) -> torch.Tensor:
        """Sums over the micro-batch, [1 + measures] float32: the loss, then the measures without gradient.

        `logits` has the union of all terms' positions. Take rows of it by `SharedLogits.at`.
        """


def of_completions(name: str, values: Sequence[Any], encoding: Encoding) -> Sequence[Any]:
    """`values`, if there is one for each token of the completion and a token before it; else raises TrainingError."""
    expected = len(encoding.characters) + 1
    if len(values) != expected or not encoding.start:
        raise TrainingError(
            f"{name} of {len(values)} tokens came with it, but its prompt has {encoding.start} tokens and its "
            f"completion {expected} with the end of turn: another tokenizer or template made one of them"
        )
    return values


def places_of_completions(starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and logits' positions [S] of the first `lengths` [B] tokens of each row's completion, at `starts` [B]."""
    import numpy as np

    rows = np.repeat(np.arange(len(lengths)), lengths)
    steps = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return rows, starts[rows].astype(np.int64) + steps - 1


def wanted_at(ids: torch.Tensor, rows: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """[B, L - 1] bool for the batch's tokens `ids` [B, L]: true at these places."""
    import torch

    wanted = torch.zeros_like(ids[:, 1:], dtype=torch.bool)
    wanted[rows, positions] = True
    return wanted


@dataclass(frozen=True, slots=True)
class TermMeans:
    """Mean loss and measures of one term; all are 0 and say nothing where there was nothing to count."""

    name: str
    count: int  # the denominator
    loss: float
    measures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Means:
    """The means of an optimiser step or a validation, by active term, in the order of `losses/table.py`."""

    first: TermMeans
    others: tuple[TermMeans, ...] = ()

    @property
    def loss(self) -> float:
        """What is minimised."""
        return self.first.loss + sum(term.loss for term in self.others)

    @property
    def counted(self) -> tuple[TermMeans, ...]:
        """The further terms that had something to count."""
        return tuple(term for term in self.others if term.count)


def means_of(terms: Sequence[LossTerm[Any]], counts: Sequence[int], values: Iterable[float]) -> Means:
    """Sort `values`, the means of each term one after the other as `LossTerm.loss` orders them, by term."""
    left = iter(values)
    made = [
        TermMeans(term.name, count, next(left), {name: next(left) for name in term.measures})
        for term, count in zip(terms, counts, strict=True)
    ]
    return Means(made[0], tuple(made[1:]))
