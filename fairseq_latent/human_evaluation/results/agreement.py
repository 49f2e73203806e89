"""How far raters agree: Fleiss' kappa, Krippendorff's alpha, correlations of pairs of raters. U items, R raters, q values.

A table of ratings is (U, R) with NaN where nothing was rated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Kappa:
    """Fleiss' kappa (1971) and what it consists of; `kappa` is None where chance alone would agree, or nothing is rated."""

    items: int
    mean_agreement: float
    chance_agreement: float
    category_shares: tuple[float, ...]
    kappa: float | None


@dataclass(frozen=True)
class Pair:
    """The correlation of two raters over the items that both rated; None without variance, or with fewer than two items."""

    raters: tuple[int, int]
    items: int
    r: float | None


def counts_of(table: Floats, values: Sequence[int]) -> NDArray[np.int64]:
    """(U, R) -> (U, q): how many raters chose each value."""
    return np.stack([(table == value).sum(axis=1) for value in values], axis=1)


def fleiss_kappa(counts: NDArray[Any]) -> Kappa:
    """(U, q) counts -> kappa over the items with at least two ratings, each with its own number m of raters.

    Per item (sum n^2 - m) / (m (m - 1)); chance is the sum of squared shares of the values. With equal m it is Fleiss' own.
    """
    counts = np.asarray(counts)
    counts = counts[counts.sum(axis=1) >= 2].astype(np.float64)
    if not len(counts):
        return Kappa(0, float("nan"), float("nan"), (), None)
    raters = counts.sum(axis=1)
    agreement = ((counts**2).sum(axis=1) - raters) / (raters * (raters - 1))
    shares = counts.sum(axis=0) / counts.sum()
    mean, chance = float(agreement.mean()), float((shares**2).sum())
    kappa = None if np.isclose(chance, 1.0) else (mean - chance) / (1 - chance)
    return Kappa(len(counts), mean, chance, tuple(shares.tolist()), kappa)


def complete(counts: NDArray[Any], raters: int) -> NDArray[Any]:
    """The items that as many raters judged as should have."""
    return counts[counts.sum(axis=1) == raters]


def krippendorff_alpha(counts: NDArray[Any], values: Sequence[int], level: str = "ordinal") -> float | None:
    """(U, q) counts -> Krippendorff's alpha (2011), 1 - observed / expected disagreement; None of a single value.

    level: nominal, ordinal or interval, the metric of differences between values. Items with one rating are left out.
    """
    counts = np.asarray(counts, dtype=np.float64)
    counts = counts[counts.sum(axis=1) >= 2]
    if not len(counts):
        return None
    weights = 1 / (counts.sum(axis=1) - 1)
    coincidences = (counts.T * weights) @ counts - np.diag((counts.T * weights).sum(axis=1))  # (q, q)
    totals = coincidences.sum(axis=1)
    distances = _distances(totals, np.asarray(values, dtype=np.float64), level)
    expected = totals @ distances @ totals
    if expected <= 0:
        return None
    return float(1 - (totals.sum() - 1) * (coincidences * distances).sum() / expected)


def _distances(totals: Floats, values: Floats, level: str) -> Floats:
    """(q, q) squared differences."""
    if level == "nominal":
        return 1 - np.eye(len(values))
    if level == "interval":
        return (values[:, None] - values[None, :]) ** 2
    middle = np.cumsum(totals) - totals / 2  # between c and k: all values from c to k, the ends by half
    return (middle[:, None] - middle[None, :]) ** 2


def pairs(table: Floats, ranks: bool = False) -> list[Pair]:
    """(U, R) -> Pearson's correlation of each two raters (Spearman's with `ranks`)."""
    return [_pair(table, one, two, ranks) for one, two in combinations(range(table.shape[1]), 2)]


def mean_of(found: Sequence[Pair]) -> tuple[float | None, int]:
    """The mean over unordered pairs that have a correlation, and how many they are."""
    known = [pair.r for pair in found if pair.r is not None]
    return (float(np.mean(known)) if known else None), len(known)


def _pair(table: Floats, one: int, two: int, ranks: bool) -> Pair:
    both = ~np.isnan(table[:, one]) & ~np.isnan(table[:, two])
    return Pair((one, two), int(both.sum()), correlation(table[both, one], table[both, two], ranks))


def correlation(x: Floats, y: Floats, ranks: bool = False) -> float | None:
    """Pearson's r, or Spearman's; None with fewer than two items, or where one side does not vary."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    if ranks:
        from scipy.stats import rankdata

        x, y = rankdata(x), rankdata(y)
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip((x @ y) / np.sqrt((x @ x) * (y @ y)), -1, 1))
