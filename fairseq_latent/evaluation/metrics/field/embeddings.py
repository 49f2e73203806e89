"""Responses and references compared by vectors: of words (average, greedy, extrema), and of tokens in their context (F1).

Of several references the best one counts. Texts without any known word have 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fairseq_latent.text.word_vectors import WordVectors

from ..response_metrics import Lines, Mean, Ratio, Score

Vectors = Callable[[Sequence[str]], Sequence[np.ndarray]]  # texts -> (n, H) of each, one row per word or token


@dataclass(frozen=True)
class WordRows:
    """The vectors of a line's words in lower case, those that have one."""

    vectors: WordVectors
    name: str  # of their file

    @property
    def signature(self) -> str:
        """The file, by name and hash."""
        return f"vectors:{self.name}|sha256:{self.vectors.sha256[:16]}|case:lower"

    def __call__(self, lines: Sequence[str]) -> list[np.ndarray]:
        """(n, H) of each."""
        return [self.vectors.matrix[self._rows(line)].astype(np.float64) for line in lines]

    def _rows(self, line: str) -> list[int]:
        return [self.vectors.rows[word] for word in line.lower().split() if word in self.vectors.rows]


def average(one: np.ndarray, other: np.ndarray) -> float:
    """(m, H), (n, H): cosine of their means."""
    return _cosine(one.mean(0), other.mean(0))


def greedy(one: np.ndarray, other: np.ndarray) -> float:
    """The mean of each word's largest cosine with a word of the other text, of both directions (Rus and Lintean, 2012)."""
    grid = _rows_of_length_one(one) @ _rows_of_length_one(other).T
    return float((grid.max(1).mean() + grid.max(0).mean()) / 2)


def extrema(one: np.ndarray, other: np.ndarray) -> float:
    """Cosine of the vectors that have in each dimension the value farthest from 0 (Forgues et al., 2014)."""
    return _cosine(_extreme(one), _extreme(other))


def greedy_f1(one: np.ndarray, other: np.ndarray) -> float:
    """The harmonic mean of both directions of greedy matching, as BERTScore has it (Zhang et al., 2020)."""
    grid = _rows_of_length_one(one) @ _rows_of_length_one(other).T
    precision, recall = grid.max(1).mean(), grid.max(0).mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall > 0 else 0.0


@dataclass(frozen=True)
class EmbeddingMetric(Mean):
    """Mean over lines of how near response and reference are (Liu et al., 2016, https://arxiv.org/abs/1603.08023)."""

    name: str
    near: Callable[[np.ndarray, np.ndarray], float]
    vectors: Vectors
    made_by: str  # signature of the vectors
    scale: float = 1.0

    def statistics(self, hypotheses: Lines, references: Sequence[Sequence[str]]) -> list[Ratio]:
        """Per line: the value, and 1."""
        different = sorted({*hypotheses, *(text for texts in references for text in texts)})
        vectors = dict(zip(different, self.vectors(different), strict=True))

        @lru_cache(maxsize=65536)
        def near(line: str, texts: tuple[str, ...]) -> float:
            own, others = vectors[line], [vectors[text] for text in texts]
            return max(self.near(own, other) if len(own) and len(other) else 0.0 for other in others)

        return [(self.scale * near(line, tuple(texts)), 1) for line, texts in zip(hypotheses, references, strict=True)]

    def score(self, statistics: Sequence[Ratio]) -> Score:
        """Mean over lines."""
        sums = [sum(column) for column in zip(*statistics, strict=True)] or [0, 0]
        return Score(self.name, self.value(sums), f"{self.name.replace(' ', '-')}|{self.made_by}")


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / lengths if lengths else 0.0


def _rows_of_length_one(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _extreme(vectors: np.ndarray) -> np.ndarray:
    return vectors[np.abs(vectors).argmax(0), np.arange(vectors.shape[1])]
