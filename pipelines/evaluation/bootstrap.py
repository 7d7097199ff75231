"""Intervals of scores: a percentile bootstrap over questions and seeds, and of gains question by question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

RESAMPLES = 10_000

Rows = Mapping[int, Sequence[float | None]]
"""By seed: a value for each question, the same ones for all seeds; None where nothing is known."""


def matrix(rows: Sequence[Sequence[float | None]]) -> np.ndarray:
    """Values [seeds, questions], of outcomes 1.0 and 0.0; NaN where nothing is known."""
    return np.array([[np.nan if value is None else float(value) for value in row] for row in rows])


def interval(values: np.ndarray, digits: int = 4, clusters: Sequence[int] | None = None) -> list[float]:
    """95 % percentile bootstrap of the mean of `values` [seeds, questions] (NaN: unknown), seeds and questions drawn.

    Both are resampled with replacement, independently of each other, since all seeds answer the same questions; those
    with the same number in `clusters`, which counts from 0, are drawn together.
    """
    return _bounds(_resampled_means(values, clusters), digits)


def _bounds(resampled: np.ndarray, digits: int = 4) -> list[float]:
    return [round(float(bound), digits) for bound in np.nanpercentile(resampled, [2.5, 97.5])]


def _resampled_means(values: np.ndarray, clusters: Sequence[int] | None = None) -> np.ndarray:
    """Means [RESAMPLES] of `values` [seeds, questions]; the same draws for all values of a shape."""
    known = ~np.isnan(values)
    places = np.arange(values.shape[1]) if clusters is None else np.array(clusters)
    seeds, drawn = _draws(len(values), int(places.max()) + 1)
    questions = drawn[:, places]
    totals = (seeds @ np.where(known, values, 0.0) * questions).sum(axis=1)
    counts = (seeds @ known.astype(float) * questions).sum(axis=1)
    return totals / np.maximum(counts, 1)


@lru_cache(maxsize=8)
def _draws(*shape: int) -> list[np.ndarray]:
    """How often each seed, and each question, is in a resample, [RESAMPLES, seeds] and [RESAMPLES, questions]."""
    generator = np.random.default_rng(0)
    return [generator.multinomial(n, np.full(n, 1 / n), size=RESAMPLES) for n in shape]


def mean_of(values: np.ndarray, digits: int = 4, clusters: Sequence[int] | None = None) -> dict[str, Any]:
    """The mean over all known of `values` [seeds, questions], with its interval and the mean of each seed."""
    return {
        "mean": round(float(np.nanmean(values)), digits),
        "ci95": interval(values, digits, clusters),
        "by_seed": [round(float(mean), digits) for mean in np.nanmean(values, axis=1)],
    }


def paired(ours: Rows, theirs: Rows, *, clusters: Sequence[int] | None = None) -> dict[str, Any]:
    """The gain of `ours` over `theirs`, question by question, over the seeds that both have, with their two means.

    Raises ValueError where they share no seed, or were not asked equally many questions.
    """
    mine, other = _shared(ours, theirs)
    told = mean_of(mine - other, clusters=clusters)
    return {"gain": told["mean"], "ci95": told["ci95"], "by_seed": told["by_seed"], **_sides(mine, other)}


def ratio(ours: Rows, theirs: Rows) -> dict[str, Any]:
    """The mean of `ours` divided by that of `theirs` (values above 0), over the seeds that both have.

    Raises ValueError as `paired` does; its interval draws the same seeds and questions for both.
    """
    mine, other = _shared(ours, theirs)
    return {
        "ratio": round(float(np.nanmean(mine) / np.nanmean(other)), 4),
        "ci95": _bounds(_resampled_means(mine) / _resampled_means(other)),
        "by_seed": [round(float(value), 4) for value in np.nanmean(mine, axis=1) / np.nanmean(other, axis=1)],
        **_sides(mine, other),
    }


def _sides(mine: np.ndarray, other: np.ndarray) -> dict[str, Any]:
    """The means of the two sides [seeds, questions] of a comparison, and how many of each there are."""
    means = (float(f"{np.nanmean(side):.4g}") for side in (mine, other))
    return {**dict(zip(("ours", "other"), means, strict=True)), "seeds": len(mine), "n": mine.shape[1]}


def _shared(*arms: Rows) -> list[np.ndarray]:
    seeds = sorted(set.intersection(*map(set, arms)))
    if not seeds:
        raise ValueError("no seed is in both")
    return [matrix([arm[seed] for seed in seeds]) for arm in arms]
