"""How much a system repeats itself: responses that it gives more than once, and how far gzip compresses them all."""

import gzip
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .response_metrics import Lines, References, Score

COMMONEST = 5


@dataclass(frozen=True)
class Duplicates:
    """Percentage of responses whose words are those of another response, too; the commonest ones stand beside it.

    Its bootstrap is linear, as that of `Distinct`: a resample has of each context what would be lost without it, since the
    copies that resampling makes are no repetitions.
    """

    words: str
    name: str = "duplicates"
    interval = "jackknife-percentile"

    def statistics(self, hypotheses: Lines, references: References | None = None) -> list[str]:
        """The lines: what is a repetition, all of them together tell."""
        return list(hypotheses)

    def table(self, statistics: Sequence[str], samples: int = 1) -> np.ndarray:
        """(contexts, 2): repetitions that are lost without the context, less the mean excess of these; its lines."""
        everywhere = Counter(statistics)
        if samples == 1:
            times = np.fromiter((everywhere[text] for text in statistics), np.int64, len(statistics))
            lost = (times > 1) * (1 + (times == 2))
            return np.stack([lost - (lost.sum() - _repeated(everywhere)) / len(lost), np.ones(len(lost))], axis=1)
        lost = []
        for start in range(0, len(statistics), samples):
            of_context = Counter(statistics[start : start + samples])
            repeated = [(count, everywhere[text]) for text, count in of_context.items() if everywhere[text] > 1]
            lost.append(sum(count + (total - count == 1) for count, total in repeated))  # a last copy repeats none
        excess = (sum(lost) - _repeated(everywhere)) / len(lost)
        return np.array([np.array(lost) - excess, np.full(len(lost), samples)], dtype=np.float64).T

    def value(self, sums: Sequence[float]) -> float:
        """Percent, from 0 to 100 however a resample turns out."""
        repeated, count = sums
        return min(100.0, max(0.0, 100.0 * repeated / count)) if count else 0.0

    def score(self, statistics: Sequence[str]) -> Score:
        """Repeated responses in percent, and the five commonest responses with their counts."""
        counts = Counter(statistics)
        value = self.value((_repeated(counts), len(statistics)))
        extra = {"commonest": [[text, count] for text, count in counts.most_common(COMMONEST) if count > 1]}
        return Score(self.name, value, f"duplicates|level:corpus|case:mixed|{self.words}", extra)


def _repeated(counts: Counter[str]) -> int:
    return sum(count for count in counts.values() if count > 1)


@dataclass(frozen=True)
class GzipRatio:
    """Bytes of all responses over bytes of their gzip: the higher, the more they repeat words and phrases.

    The compression ratio of Shaib et al. (2024, https://arxiv.org/abs/2403.00553). It has no interval: it is no sum over
    contexts, and a resample repeats what it draws twice.
    """

    words: str
    name: str = "gzip ratio"
    interval = None

    def statistics(self, hypotheses: Lines, references: References | None = None) -> list[str]:
        """The lines."""
        return list(hypotheses)

    def score(self, statistics: Sequence[str]) -> Score:
        """A line per response; 0 of nothing."""
        text = "".join(f"{line}\n" for line in statistics).encode("utf-8", "surrogatepass")
        ratio = len(text) / len(gzip.compress(text, 9, mtime=0)) if text.strip() else 0.0
        return Score(self.name, ratio, f"gzip-ratio|level:9|case:mixed|{self.words}", {"bytes": len(text)})
