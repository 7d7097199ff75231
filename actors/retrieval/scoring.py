"""ReBase's scores of all rows of an index (arXiv 2407.05463, section 3), in blocked matrix products.

    S_in  = max over a row's columns of the mean over the examples of cos(input, value)
    S_out = the same with the examples' outputs
    S_ds  = cos(instruction, description of the row's dataset)
    S     = (S_in + S_out + S_ds) / 3

Vectors have length 1, so a cosine is a dot product, and the mean of dot products with several vectors is the dot
product with their mean: two products per value and lookup, whatever the number of examples. A block of values is
read once for all lookups of a batch, which matters because reading, not multiplying, takes the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

BLOCK = 2048  # values per product: 3 MB at 384 dimensions, read from memory once for all vectors of a batch
SKETCH_BLOCK = 16_384  # the same of a sketch, whose products have a higher cost per call
FEW = 4  # up to so many vectors a product of matrix and vector each is faster than one of two matrices (OpenBLAS)
LOOKUPS_AT_ONCE = 32  # bounds the memory for the scores: lookups x rows x 8 bytes


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
        """float32 [2, dimension]: the mean input and the mean output."""
        import numpy as np

        return np.stack([self.inputs.mean(axis=0), self.outputs.mean(axis=0)]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Hits:
    """The best rows of one lookup, best first; all arrays are [hits]."""

    rows: np.ndarray  # int64
    s: np.ndarray  # float32, as the three parts of which it is the mean
    s_in: np.ndarray
    s_out: np.ndarray
    s_ds: np.ndarray
    value_in: np.ndarray  # int64: the value that won S_in, and the one that won S_out
    value_out: np.ndarray


def best_rows(values: Values, queries: Sequence[Query], count: int) -> list[Hits]:
    """The `count` best rows of each query by S, equal ones in the order of the index. Exact."""
    return [rescored(values, query, rows, count) for query, rows in _candidates(values, values, queries, count)]


def likely_best_rows(values: Values, sketch: Values, queries: Sequence[Query], count: int, spare: int) -> list[Hits]:
    """As `best_rows`, but only `count` x `spare` candidates are scored exactly: the best by the shorter `sketch`.

    The descriptions of `sketch` are the whole ones. `projected` makes the queries fit its vectors.
    """
    return [rescored(values, query, rows, count) for query, rows in _candidates(values, sketch, queries, count * spare)]


def _candidates(
    values: Values, scanned: Values, queries: Sequence[Query], count: int
) -> Iterator[tuple[Query, np.ndarray]]:
    import numpy as np

    for start in range(0, len(queries), LOOKUPS_AT_ONCE):
        group = queries[start : start + LOOKUPS_AT_ONCE]
        means = np.stack([query.means() for query in group])
        shorter = means @ scanned.basis if isinstance(scanned, Sketch) else means
        similar = row_maxima(scanned, shorter.reshape(-1, shorter.shape[-1]))
        for index, query in enumerate(group):
            total = similar[2 * index]
            total += similar[2 * index + 1]
            total += _dataset_scores(values, query)[scanned.dataset]
            yield query, _top(total, count)


@dataclass(frozen=True, slots=True)
class Sketch(Values):
    """The values projected to fewer dimensions, in bytes; dot products are nearly those of the whole vectors."""

    basis: np.ndarray  # float32 [dimension, fewer]: orthonormal columns
    unit: float  # `vectors` are int8 [values, fewer], in multiples of this


def to_bytes(vectors: np.ndarray, unit: float | np.ndarray) -> np.ndarray:
    """The vectors in multiples of `unit`, rounded: int8."""
    import numpy as np

    return np.clip(np.rint(vectors / unit), -127, 127).astype(np.int8)


def row_maxima(values: Values, means: np.ndarray) -> np.ndarray:
    """The highest dot product of each of `means` with the values of each row: float32 [means, rows]."""
    import numpy as np

    if isinstance(values, Sketch):
        return _row_maxima_of_bytes(values, means)
    result = np.empty((len(means), values.rows), np.float32)
    products = np.empty((len(means), 2 * BLOCK), np.float32)
    for first, last in blocks(values.starts, BLOCK):
        begin, end = values.starts[first], values.starts[last]
        if end - begin > products.shape[1]:  # a single row with that many values
            products = np.empty((len(means), end - begin), np.float32)
        block = products[:, : end - begin]
        multiply(means, values.vectors[begin:end], block)
        np.maximum.reduceat(block, values.starts[first:last] - begin, axis=1, out=result[:, first:last])
    return result


def _row_maxima_of_bytes(sketch: Sketch, means: np.ndarray) -> np.ndarray:
    """The same of a sketch: maxima of whole numbers, brought to scale at the end, when there are fewer of them.

    The means are rounded to bytes too, each in its own unit. They are the left factor: with few of them that takes
    half the time of the other order (oneDNN).
    """
    import numpy as np
    import torch

    units = np.maximum(np.abs(means).max(axis=1, keepdims=True), 1e-12) / 127
    left = torch.from_numpy(to_bytes(means, units))
    maxima = np.empty((len(means), sketch.rows), np.int32)
    for first, last in blocks(sketch.starts, SKETCH_BLOCK):
        begin, end = sketch.starts[first], sketch.starts[last]
        products = torch._int_mm(left, torch.from_numpy(sketch.vectors[begin:end]).T).numpy()
        np.maximum.reduceat(products, sketch.starts[first:last] - begin, axis=1, out=maxima[:, first:last])
    return np.multiply(maxima, units * sketch.unit, dtype=np.float32)


def multiply(means: np.ndarray, vectors: np.ndarray, out: np.ndarray) -> None:
    """``out = means @ vectors.T``, the faster of two ways."""
    import numpy as np

    if len(means) > FEW:
        np.matmul(means, vectors.T, out=out)
        return
    for row, mean in zip(out, means, strict=True):
        np.matmul(vectors, mean, out=row)


def blocks(starts: np.ndarray, size: int) -> Iterator[tuple[int, int]]:
    """First and last (exclusive) row of blocks of about `size` values; no row is divided."""
    import numpy as np

    first, rows = 0, len(starts) - 1
    while first < rows:
        last = int(np.searchsorted(starts, starts[first] + size, side="right")) - 1
        last = min(max(last, first + 1), rows)
        yield first, last
        first = last


def rescored(values: Values, query: Query, rows: np.ndarray, count: int) -> Hits:
    """The `count` best of the given rows by their exact scores, with the values that won."""
    import numpy as np

    rows = np.sort(rows)
    lengths = values.starts[rows + 1] - values.starts[rows]
    starts = np.cumsum(lengths) - lengths
    within = np.arange(lengths.sum()) - np.repeat(starts, lengths)
    places = np.repeat(values.starts[rows], lengths) + within
    products = values.vectors[places] @ query.means().T  # [values of these rows, 2]
    s_ds = _dataset_scores(values, query)[values.dataset[rows]]
    best, won = [], []
    for column in (0, 1):
        maxima = np.maximum.reduceat(products[:, column], starts) if len(rows) else np.empty(0, np.float32)
        is_best = products[:, column] == np.repeat(maxima, lengths)
        first_best = np.minimum.reduceat(np.where(is_best, places, places[-1]), starts) if len(rows) else rows
        best.append(maxima)
        won.append(first_best)
    s = (best[0] + best[1] + s_ds) / 3
    order = np.lexsort((rows, -s))[:count]
    return Hits(*(array[order] for array in (rows, s, best[0], best[1], s_ds, won[0], won[1])))


def _dataset_scores(values: Values, query: Query) -> np.ndarray:
    """S_ds of each dataset; -inf for those that are not allowed."""
    import numpy as np

    return np.where(query.allowed, values.descriptions @ query.instruction, -np.inf).astype(np.float32)


def _top(scores: np.ndarray, count: int) -> np.ndarray:
    """The places of the `count` highest finite scores, unordered; of equal ones at the border the first."""
    import numpy as np

    finite = int(np.isfinite(scores).sum())
    if finite <= count:
        return np.flatnonzero(np.isfinite(scores))
    border = np.partition(scores, len(scores) - count)[len(scores) - count]
    above, equal = np.flatnonzero(scores > border), np.flatnonzero(scores == border)
    return np.concatenate([above, equal[: count - len(above)]])
