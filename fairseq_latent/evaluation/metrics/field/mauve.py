"""MAUVE: how near the distribution of responses is to that of references, as texts at large (Pillutla et al., 2021,
https://arxiv.org/abs/2102.01454).

Written after the paper: vectors of length 1, principal components with 90 % of the variance, k-means of both texts' vectors
together with a tenth as many clusters as texts of one side, and the area under the divergence curve of the two histograms.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fairseq_latent import __version__

from ..response_metrics import Score

SCALING = 5.0  # c
MIXTURES = np.linspace(1e-6, 1 - 1e-6, 25)
VARIANCE = 0.9
PER_CLUSTER, MOST_CLUSTERS = 10, 500
RESTARTS, ITERATIONS = 5, 500
FEWEST = 2 * PER_CLUSTER  # texts of one side: two clusters


def frontier_area(p: np.ndarray, q: np.ndarray) -> float:
    """Two distributions (K,) -> 0 to 1: the area under the curve of (exp(-c KL(q | r)), exp(-c KL(p | r))) over the mixtures
    r = l p + (1 - l) q, by trapezoids along it, from (0, 1) to (1, 0); over either axis it is the same."""
    mixed = MIXTURES[:, None] * p + (1 - MIXTURES[:, None]) * q  # (L, K)
    points = np.exp(-SCALING * np.array([_divergence(q, mixed), _divergence(p, mixed)]))  # (2, L)
    x, y = np.concatenate([[[0.0], [1.0]], points[:, ::-1], [[1.0], [0.0]]], axis=1)
    return float(((x[1:] - x[:-1]) * (y[1:] + y[:-1]) / 2).sum())


def _divergence(p: np.ndarray, mixed: np.ndarray) -> np.ndarray:
    """KL(p | r), nats, of each mixture (L, K) -> (L,)."""
    some = p > 0
    return (p[some] * np.log(p[some] / mixed[:, some])).sum(1)


def mauve(ours: np.ndarray, theirs: np.ndarray, seed: int) -> float:
    """Vectors (N, D) of both texts -> 0 to 1; the same seed, the same number."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    both = np.concatenate([ours, theirs])
    both = both / np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-12)
    with warnings.catch_warnings():  # of equal vectors, which leave clusters without any
        warnings.simplefilter("ignore")
        projected = PCA(random_state=seed).fit(both)
        kept = int(np.searchsorted(np.cumsum(projected.explained_variance_ratio_), VARIANCE)) + 1
        clusters = max(2, min(MOST_CLUSTERS, min(len(ours), len(theirs)) // PER_CLUSTER))
        grouped = KMeans(clusters, n_init=RESTARTS, max_iter=ITERATIONS, random_state=seed)
        labels = grouped.fit_predict(projected.transform(both)[:, :kept])
    p, q = (np.bincount(of, minlength=clusters) / len(of) for of in np.split(labels, [len(ours)]))
    return frontier_area(p, q)


@dataclass(frozen=True, eq=False)
class Mauve:
    """Of a system: the responses to one half of the contexts against the references of the other, mean of both ways round.

    So no response is held against the reference of its own context, and the references themselves, one half against the
    other, have what people have with as many texts. halves: (C,), the half of each context, drawn from the seed.
    references: vectors (C, D). encoder: its signature.
    """

    references: np.ndarray
    halves: np.ndarray
    encoder: str
    seed: int
    name: str = "MAUVE"
    interval = None  # clusters of a resample are others

    def score(self, statistics: Sequence[np.ndarray]) -> Score:
        """Vectors of the responses, as many to each context."""
        responses = np.array(statistics)
        halves = np.repeat(self.halves, len(responses) // len(self.halves))
        found = [
            mauve(responses[halves == half], self.references[self.halves != half], self.seed) for half in (False, True)
        ]
        sizes = f"{np.sum(halves == np.False_)}-and-{np.sum(self.halves)}"
        signature = (
            f"mauve|c:{SCALING:g}|halves:{sizes}|per-cluster:{PER_CLUSTER}|pca:{VARIANCE:g}|mixtures:{len(MIXTURES)}|"
            f"{self.encoder}|seed:{self.seed}|version:{__version__}"
        )
        return Score(self.name, float(np.mean(found)), signature, {"halves": found})


def mauve_of(references: np.ndarray, encoder: str, seed: int) -> Mauve | None:
    """The metric for references (C, D); None where there are too few for two clusters."""
    count = len(references)
    if count < 2 * FEWEST:
        return None
    halves = np.zeros(count, dtype=bool)
    halves[np.random.default_rng(seed).permutation(count)[: count // 2]] = True
    return Mauve(references, halves, encoder, seed)
