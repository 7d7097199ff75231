"""The terms of the loss, in order. A new one is a file here and its line in `TERMS`; nothing else names it.

The order is that of the columns in the token table. The first term takes part in every step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raydistill.actors.errors import TrainingError
from raydistill.pipelines.data.records import Example
from raydistill.pipelines.training.losses.base import Encoding, LossTerm
from raydistill.pipelines.training.losses.consistency import Consistency
from raydistill.pipelines.training.losses.cross_entropy import CrossEntropy
from raydistill.pipelines.training.losses.policy import Policy
from raydistill.pipelines.training.losses.soft_targets import SoftTargets

if TYPE_CHECKING:
    import pyarrow as pa

    from raydistill.pipelines.training.tokens import TokenTable

TERMS: tuple[type[LossTerm[Any]], ...] = (CrossEntropy, Consistency, Policy, SoftTargets)


def term_schema() -> list[tuple[str, pa.DataType]]:
    """The columns of all terms in the token table, in order."""
    return [column for term in TERMS for column in term.schema()]


def term_columns(example: Example, encoding: Encoding) -> dict[str, Any]:
    """A value for each column of `term_schema`."""
    return {name: value for term in TERMS for name, value in term.columns(example, encoding).items()}


def trained_tokens(columns: Mapping[str, Any]) -> int:
    """How many tokens of a row are trained, by the term that trains most of them. Raises what the terms raise."""
    return max(term.trained(columns) for term in TERMS)


def active_terms(table: TokenTable) -> list[LossTerm[Any]]:
    """The terms that `table` asks for; the first one always."""
    made = [term(table) for term in TERMS]
    return [term for term in made if term is made[0] or term.active]


def pairing_term(terms: Sequence[LossTerm[Any]]) -> LossTerm[Any]:
    """The term that draws the units of an epoch: the one that puts rows together, else the first.

    Raises TrainingError if several do: a row cannot be in the units of each.
    """
    pairing = [term for term in terms if term.pairs_rows]
    if len(pairing) > 1:
        names = " and ".join(term.name for term in pairing)
        raise TrainingError(f"{names} each say which examples share a batch: train on their examples one after another")
    return pairing[0] if pairing else terms[0]
