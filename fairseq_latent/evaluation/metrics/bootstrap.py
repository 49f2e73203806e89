"""Bootstrap over contexts: intervals of scores and paired tests of systems, all from the same resamples.

A metric hands in a table of additive statistics, a row for each context; what a resample scores comes from the table's
sums, so that nothing is tokenised or counted again. Contexts are resampled, with all their responses and references.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fairseq_latent.memory import require_memory

FEWEST = 40  # 95 % of 40 leaves one resample on either side
CHUNK, ELEMENTS = 32, 1 << 22  # resamples in memory at a time, at most, and their elements
ROWS = 1 << 16  # contexts of the tables that are multiplied at a time
LEVEL = 0.05


@dataclass(frozen=True)
class Bootstrap:
    """`resamples` draws of as many contexts as there are, with replacement (Koehn, 2004).

    The draws are those of sacrebleu for the same seed (its SACREBLEU_SEED), so BLEU's resamples are sacrebleu's.
    """

    resamples: int
    seed: int = 1

    @property
    def signature(self) -> str:
        """As sacrebleu writes it."""
        return f"bs:{self.resamples}|seed:{self.seed}"

    def weights(self, contexts: int) -> Iterator[np.ndarray]:
        """(chunk, contexts) each: how often a resample holds each context."""
        generator = np.random.default_rng(self.seed)
        chunk = max(1, min(CHUNK, ELEMENTS // max(1, contexts)))
        for start in range(0, self.resamples, chunk):
            drawn = generator.choice(contexts, size=(min(chunk, self.resamples - start), contexts), replace=True)
            yield np.stack([np.bincount(row, minlength=contexts) for row in drawn]).astype(np.float64)

    def all_weights(self, contexts: int) -> np.ndarray:
        """(resamples, contexts); InputError where memory cannot hold them."""
        self._require(16.0 * contexts)
        return np.concatenate([np.empty((0, contexts)), *self.weights(contexts)])

    def _require(self, each: float) -> None:
        """Bytes of one resample."""
        require_memory(self.resamples * each, f"--bootstrap {self.resamples}", "1000, or 10000 for small p-values")

    def sums(self, tables: Sequence[np.ndarray]) -> list[np.ndarray]:
        """For each (contexts, k) table its sums in each resample, (resamples, k)."""
        widths = [table.shape[1] for table in tables]
        self._require(8.0 * sum(widths))
        contexts = len(tables[0])
        sums = np.zeros((self.resamples, sum(widths)))
        done = 0
        for weights in self.weights(contexts):
            here = sums[done : (done := done + len(weights))]
            for start in range(0, contexts, ROWS):  # the tables stay as they are: together they can be large
                rows = slice(start, start + ROWS)
                here += weights[:, rows] @ np.concatenate([table[rows] for table in tables], axis=1, dtype=np.float64)
        return np.split(sums, np.cumsum(widths)[:-1], axis=1)


def interval(scores: np.ndarray) -> tuple[float, float]:
    """(resamples,) -> the 95 % percentile interval; sacrebleu's ± is half its width."""
    ordered = np.sort(scores)
    cut = len(ordered) // 40
    return float(ordered[cut]), float(ordered[-cut - 1])


NORMAL = 1.96  # standard deviations to either end of a 95 % interval


def interval_over_seeds(
    values: Sequence[float], intervals: Sequence[tuple[float, float] | None]
) -> tuple[float, float] | None:
    """Of the mean of S seeds' values, each with its interval over the same contexts (None: there is none, nor of the mean).

    Half its width is the root of two squares' sum: the mean of theirs, as what one context does it does to all seeds alike,
    and 1.96 standard errors of the mean over seeds.
    """
    known = [each for each in intervals if each is not None]
    if len(known) < len(values):
        return None
    over_contexts = float(np.mean([(high - low) / 2 for low, high in known]))
    over_seeds = NORMAL * float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    middle, half = float(np.mean(values)), math.hypot(over_contexts, over_seeds)
    return middle - half, middle + half


def p_value(difference: float, resampled: np.ndarray) -> float:
    """How often chance alone gives a difference as large, of either sign: two-sided, centred paired bootstrap.

    `resampled`: (resamples,) differences of the two systems on the same resamples. Their deviations from their mean are
    what chance does; no difference at all gives 1.
    """
    chance = np.abs(resampled - resampled.mean())
    return (1 + int(np.sum(chance >= abs(difference)))) / (1 + len(resampled))


def sacrebleu_p_value(difference: float, resampled: np.ndarray) -> float:
    """The number that `sacrebleu --paired-bs` prints, for comparison with papers that report it.

    It centres absolute differences, which makes it a one-sided test: between equally good systems it finds p < 0.05 in
    one of ten cases, and identical ones get the smallest p there is.
    """
    spread = np.abs(resampled)
    return (1 + int(np.sum(spread - spread.mean() > abs(difference)))) / (1 + len(resampled))
