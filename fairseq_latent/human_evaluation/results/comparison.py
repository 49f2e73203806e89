"""Means of systems with bootstrap intervals over contexts and raters, and paired tests between systems.

S systems, I contexts, R raters: a cube of ratings is (S, I, R) with NaN where nothing was rated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from fairseq_latent.evaluation.metrics.bootstrap import Bootstrap, interval

from .agreement import Floats

EXACT = 14  # contexts up to which all signs are tried
PERMUTATIONS = 10_000


@dataclass(frozen=True)
class Test:
    """Two systems on the contexts where both were rated; `difference` is first minus second, of means over contexts."""

    first: str
    second: str
    contexts: int
    difference: float
    wilcoxon: float
    wilcoxon_holm: float
    permutation: float
    permutation_holm: float


def mean(cube: Floats) -> list[float]:
    """(S, I, R) -> the mean of all ratings of each system; NaN without any."""
    given = ~np.isnan(cube)
    counts = given.sum(axis=(1, 2))
    sums = np.where(given, cube, 0.0).sum(axis=(1, 2))
    return [float(total / count) if count else float("nan") for total, count in zip(sums, counts, strict=True)]


def bootstrap_means(cube: Floats, bootstrap: Bootstrap) -> Floats:
    """(S, I, R) -> (S, resamples): means of resamples of contexts and of raters, both with replacement.

    Each resample is the same for all systems, so that they stay paired. NaN where a resample has no rating of a system.
    """
    systems, contexts, raters = cube.shape
    given = ~np.isnan(cube)
    filled = np.where(given, cube, 0.0)
    of_contexts = bootstrap.all_weights(contexts)  # (B, I)
    generator = np.random.default_rng([bootstrap.seed, 1])
    drawn = generator.integers(0, raters, (len(of_contexts), raters))
    of_raters = np.stack([(drawn == rater).sum(axis=1) for rater in range(raters)], axis=1).astype(np.float64)  # (B, R)
    found = np.full((systems, len(of_contexts)), np.nan)
    for system in range(systems):
        sums = ((of_contexts @ filled[system]) * of_raters).sum(axis=1)
        counts = ((of_contexts @ given[system].astype(np.float64)) * of_raters).sum(axis=1)
        np.divide(sums, counts, out=found[system], where=counts > 0)
    return found


def interval_of(resampled: Floats) -> tuple[float, float] | None:
    """(resamples,) -> 95 %; None where most resamples have no rating."""
    known = resampled[~np.isnan(resampled)]
    return interval(known) if 2 * len(known) > len(resampled) and len(known) >= 40 else None


def per_context(cube: Floats) -> Floats:
    """(S, I, R) -> (S, I): means over raters."""
    given = ~np.isnan(cube)
    counts = given.sum(axis=2)
    sums = np.where(given, cube, 0.0).sum(axis=2)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def tests(names: Sequence[str], means: Floats, seed: int) -> list[Test]:
    """(S, I) means per context -> each two systems; Holm's correction is over all pairs."""
    found = [(names[i], names[j], means[i] - means[j]) for i, j in combinations(range(len(names)), 2)]
    return one_sample(found, seed)


def one_sample(pairs: Sequence[tuple[str, str, Floats]], seed: int) -> list[Test]:
    """(first, second, differences per context with NaN) each -> tests of no difference, Holm-corrected over all."""
    known = [differences[~np.isnan(differences)] for _, _, differences in pairs]
    ranked = [wilcoxon_p(each) for each in known]
    permuted = [permutation_p(each, seed) for each in known]
    return [
        Test(first, second, len(each), float(each.mean()) if len(each) else float("nan"), *p_values)
        for (first, second, _), each, *p_values in zip(
            pairs, known, ranked, holm(ranked), permuted, holm(permuted), strict=True
        )
    ]


def wilcoxon_p(differences: Floats) -> float:
    """Wilcoxon's signed-rank test, two-sided; equal pairs keep their ranks (Pratt, 1959). 1 without any difference."""
    from scipy.stats import wilcoxon

    if not np.any(np.abs(differences) > 1e-12):
        return 1.0
    rounded = np.round(differences, 12)  # means of three raters that should tie
    return float(wilcoxon(rounded, zero_method="pratt", method="approx").pvalue)


def permutation_p(differences: Floats, seed: int) -> float:
    """How often random signs of the differences give a mean as large, of either sign: two-sided test of the means."""
    count = len(differences)
    if not np.any(differences):
        return 1.0
    if count <= EXACT:
        signs = 1.0 - 2.0 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
        sums = np.abs(signs @ differences)
        return float((sums >= abs(differences.sum()) - 1e-9).mean())
    signs = np.random.default_rng([seed, 2]).integers(0, 2, (PERMUTATIONS, count)) * 2.0 - 1
    sums = np.abs(signs @ differences)
    return float((1 + (sums >= abs(differences.sum()) - 1e-9).sum()) / (1 + PERMUTATIONS))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    found, largest = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        found[place] = largest
    return found
