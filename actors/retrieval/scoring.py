"""The scores of all rows of an index (arXiv 2407.05463, section 3), in blocked matrix products.

    S_in  = max over a row's columns of the mean over the examples of cos(input, value)
    S_out = the same with the examples' outputs
    S_ds  = cos(instruction, description of the row's dataset)
    S     = (S_in + S_out + S_ds) / 3

Vectors have length 1, so a cosine is a dot product, and the mean of dot products with several vectors is the dot
product with their mean: two products per value, whatever the number of examples. All rows are scanned in single
precision; those that may be among the best are scored in double precision, rounded to `DECIMALS`. Processors differ
in the last bits of a sum of products; the rounding leaves none of them, so equal rows are in the order of the index on
every processor.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

BLOCK = 512  # values per product: 0.8 MB at 384 dimensions, which a core's cache keeps for the second product
FOLD = 1 << 16  # values whose products are folded into rows at once: numpy's calls would cost more than the products
DECIMALS = 5  # of a cosine: more than processors, and an encoder's batches, agree on
MARGIN = 1e-4  # more than single precision moves the sum of three cosines


@dataclass(frozen=True, slots=True)
class Values:
    """The values of all rows as vectors; those of a row stand together."""

    vectors: np.ndarray  # float32 [values, dimension], each of length 1; usually memory-mapped
    starts: np.ndarray  # int64 [rows + 1]: row r has the values starts[r] to starts[r + 1]
    dataset: np.ndarray  # int32 [rows]: the row's dataset
    descriptions: np.ndarray  # float32 [datasets, dimension]

    @property
    def rows(self) -> int:
        return len(self.dataset)


@dataclass(frozen=True, slots=True)
class Query:
    """One lookup as vectors. `allowed` says of each dataset whether its rows may be returned."""

    inputs: np.ndarray  # float32 [examples, dimension]
    outputs: np.ndarray  # float32 [examples, dimension]
    instruction: np.ndarray  # float32 [dimension]
    allowed: np.ndarray  # bool [datasets]

    def means(self) -> np.ndarray:
        """float64 [2, dimension]: the mean input and the mean output."""
        import numpy as np

        return np.stack([side.mean(axis=0, dtype=np.float64) for side in (self.inputs, self.outputs)])


@dataclass(frozen=True, slots=True)
class Hits:
    """The best rows of one lookup, best first; all arrays are [hits]."""

    rows: np.ndarray  # int64
    s: np.ndarray  # float64, as the three parts of which it is the mean
    s_in: np.ndarray
    s_out: np.ndarray
    s_ds: np.ndarray
    value_in: np.ndarray  # int64: the value that won S_in, and the one that won S_out
    value_out: np.ndarray


def best_rows(values: Values, query: Query, count: int) -> Hits:
    """The `count` best rows by S, equal ones in the order of the index."""
    return rescored(values, query, _candidates(_scan(values, query), count), count)


def _scan(values: Values, query: Query) -> np.ndarray:
    """The sum of the three scores of each row, in single precision: float32 [rows]; -inf for those not allowed."""
    import numpy as np

    means = query.means().astype(np.float32)
    total = _dataset_scores(values, query).astype(np.float32)[values.dataset]
    for first, last in folds(values.starts, FOLD):
        begin, end = values.starts[first], values.starts[last]
        products = np.empty((len(means), end - begin), np.float32)
        for place in range(begin, end, BLOCK):
            vectors, there = values.vectors[place : min(place + BLOCK, end)], place - begin
            for mean, product in zip(means, products, strict=True):  # one product of matrices is slower (OpenBLAS)
                np.dot(vectors, mean, out=product[there : there + len(vectors)])
        for product in products:
            total[first:last] += np.maximum.reduceat(product, values.starts[first:last] - begin)
    return total


def _candidates(scores: np.ndarray, count: int) -> np.ndarray:
    """The rows of the `count` highest finite scores and of those that are lower by less than the margin."""
    import numpy as np

    finite = int(np.isfinite(scores).sum())
    if finite <= count:
        return np.flatnonzero(np.isfinite(scores))
    border = np.partition(scores, len(scores) - count)[len(scores) - count]
    return np.flatnonzero(scores >= border - MARGIN)


def folds(starts: np.ndarray, size: int) -> Iterator[tuple[int, int]]:
    """First and last (exclusive) row of pieces of about `size` values; no row is divided."""
    import numpy as np

    first, rows = 0, len(starts) - 1
    while first < rows:
        last = int(np.searchsorted(starts, starts[first] + size, side="right")) - 1
        last = min(max(last, first + 1), rows)
        yield first, last
        first = last


def rescored(values: Values, query: Query, rows: np.ndarray, count: int) -> Hits:
    """The `count` best of the given rows by their exact scores, with the values that won; of equal values the first."""
    import numpy as np

    rows = np.sort(rows)
    lengths = values.starts[rows + 1] - values.starts[rows]
    starts = np.cumsum(lengths) - lengths
    within = np.arange(lengths.sum()) - np.repeat(starts, lengths)
    places = np.repeat(values.starts[rows], lengths) + within
    parts = np.split(places, range(BLOCK, len(places), BLOCK))
    products = np.concatenate([cosines(values.vectors[part], query.means()) for part in parts])  # [values, 2]
    s_ds = _dataset_scores(values, query)[values.dataset[rows]]
    best, won = [], []
    for column in (0, 1):
        maxima = np.maximum.reduceat(products[:, column], starts) if len(rows) else np.empty(0)
        is_best = products[:, column] == np.repeat(maxima, lengths)
        first_best = np.minimum.reduceat(np.where(is_best, places, places[-1]), starts) if len(rows) else rows
        best.append(maxima)
        won.append(first_best)
    s = (best[0] + best[1] + s_ds) / 3
    order = np.lexsort((rows, -s))[:count]
    return Hits(*(array[order] for array in (rows, s, best[0], best[1], s_ds, won[0], won[1])))


def cosines(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Each vector's dot product with each of `others`, the same on every processor: float64 [vectors, others]."""
    import numpy as np

    return np.round(vectors.astype(np.float64) @ others.astype(np.float64).T, DECIMALS)


def _dataset_scores(values: Values, query: Query) -> np.ndarray:
    """S_ds of each dataset; -inf for those that are not allowed."""
    import numpy as np

    return np.where(query.allowed, cosines(values.descriptions, query.instruction[None])[:, 0], -np.inf)
