"""Whether points of one category lie together: among neighbours, against the same with shuffled labels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fairseq_latent.errors import InputError

NEIGHBOURS = 5
SHUFFLES = 1000


@dataclass(frozen=True)
class Purity:
    """The mean share of a point's nearest neighbours that have its label.

    shuffled: the mean over `shuffles` of the labels, low and high: of the middle 95 % of them. p: how often a shuffle is as
    pure.
    """

    value: float
    shuffled: float
    low: float
    high: float
    p: float
    points: int
    neighbours: int = NEIGHBOURS
    shuffles: int = SHUFFLES

    def __str__(self) -> str:
        """One line."""
        return (
            f"{self.neighbours}-NN purity {self.value:.3f}; labels shuffled {self.shuffled:.3f} ({self.low:.3f} to "
            f"{self.high:.3f} in 95 % of {self.shuffles:,}), p = {self.p:.3f}"
        )


def purity(
    vectors: np.ndarray,
    labels: Sequence[str],
    seed: int = 1,
    parts: Sequence[Sequence[str]] | None = None,
    shuffles: int = SHUFFLES,
) -> Purity:
    """(N, Z), N labels -> of Euclidean neighbours in all dimensions, not in a projection; a point is not its own.

    parts: what each point consists of; points that have a part in common are no neighbours of each other. Profiles of
    ConvAI2 are often the same person's, a sentence more or less: to any network those are near. shuffles: 0 where the value
    alone is of interest; what they would tell is then NaN.
    """
    if len(labels) <= NEIGHBOURS or len(set(labels)) < 2:
        raise InputError(
            f"{len(labels)} profiles in {len(set(labels))} categories; remedy: more than {NEIGHBOURS} in two, of another "
            "--split or with other --categories"
        )
    numbers = np.unique(np.asarray(labels), return_inverse=True)[1]
    near, there = neighbours(vectors, _incidence(parts or [[str(point)] for point in range(len(labels))]))
    some = there.any(axis=1)

    def share(given: np.ndarray) -> float:
        same = (given[near] == given[:, None]) & there
        return float((same.sum(1)[some] / there.sum(1)[some]).mean()) if some.any() else 0.0

    value = share(numbers)
    if not shuffles:
        return Purity(value, math.nan, math.nan, math.nan, math.nan, len(labels), shuffles=0)
    random = np.random.default_rng(seed)
    chance = np.array([share(random.permutation(numbers)) for _ in range(shuffles)])
    low, high = np.quantile(chance, (0.025, 0.975))
    as_pure = (1 + int((chance >= value - 1e-12).sum())) / (1 + shuffles)
    return Purity(value, float(chance.mean()), float(low), float(high), as_pure, len(labels), shuffles=shuffles)


def neighbours(vectors: np.ndarray, incidence) -> tuple[np.ndarray, np.ndarray]:
    """(N, Z), parts of each point, sparse (N, S) -> the nearest without a common part (N, 5), and which exist."""
    from sklearn.metrics import pairwise_distances_chunked

    def nearest(distances: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
        related = incidence[start : start + len(distances)] @ incidence.T
        distances[related.nonzero()] = np.inf
        found = np.argsort(distances, axis=1, kind="stable")[:, :NEIGHBOURS]
        return found, np.isfinite(np.take_along_axis(distances, found, axis=1))

    near, there = zip(*pairwise_distances_chunked(vectors, reduce_func=nearest), strict=True)
    return np.concatenate(near), np.concatenate(there)


def _incidence(parts: Sequence[Sequence[str]]):
    """(N, S), sparse: which parts each point has."""
    from scipy.sparse import csr_array

    numbers: dict[str, int] = {}
    pairs = [(row, numbers.setdefault(part, len(numbers))) for row, own in enumerate(parts) for part in own]
    rows, columns = np.array(pairs).T
    return csr_array((np.ones(len(pairs), np.int32), (rows, columns)), shape=(len(parts), len(numbers)))
