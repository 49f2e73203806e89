"""Whether points of one category lie together: among neighbours, against the same with shuffled labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fairseq_latent.errors import InputError

NEIGHBOURS = 5
SHUFFLES = 1000


@dataclass(frozen=True)
class Purity:
    """The mean share of a point's neighbours that have its label.

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


def purity(vectors: np.ndarray, labels: Sequence[str], seed: int = 1) -> Purity:
    """(N, Z), N labels -> of Euclidean neighbours in all dimensions, not in a projection; a point is not its own."""
    from sklearn.neighbors import NearestNeighbors

    if len(labels) <= NEIGHBOURS or len(set(labels)) < 2:
        raise InputError(
            f"{len(labels)} profiles in {len(set(labels))} categories; remedy: more than {NEIGHBOURS} in two, of another "
            "--split or with other --categories"
        )
    numbers = np.unique(np.asarray(labels), return_inverse=True)[1]
    near = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(vectors).kneighbors(return_distance=False)  # (N, 5)

    def share(given: np.ndarray) -> float:
        return float((given[near] == given[:, None]).mean())

    random = np.random.default_rng(seed)
    chance = np.array([share(random.permutation(numbers)) for _ in range(SHUFFLES)])
    value = share(numbers)
    low, high = np.quantile(chance, (0.025, 0.975))
    as_pure = (1 + int((chance >= value - 1e-12).sum())) / (1 + SHUFFLES)
    return Purity(value, float(chance.mean()), float(low), float(high), as_pure, len(labels))
