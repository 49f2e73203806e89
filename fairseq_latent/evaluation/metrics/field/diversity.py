"""Diversity of all responses: entropy of n-grams, and distinct words where their number is expected to fall."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..response_metrics import Score, ngrams


@dataclass(frozen=True)
class Entropy:
    """Entropy of the n-grams' distribution, nats (Ent-n: Zhang et al., 2018, https://arxiv.org/abs/1809.05972).

    Unlike dist-n it sees how evenly n-grams are used.
    """

    n: int
    words: str
    interval = None  # biased by resampling, as the number of distinct n-grams is

    @property
    def name(self) -> str:
        """entropy-n."""
        return f"entropy-{self.n}"

    def score(self, statistics: Sequence[str]) -> Score:
        """0 where there is no n-gram."""
        counts = Counter(ngram for line in statistics for ngram in ngrams(line.split(), self.n))
        total = counts.total()
        value = -sum(count / total * math.log(count / total) for count in counts.values())
        return Score(self.name, value + 0.0, f"entropy|n:{self.n}|nats|level:corpus|case:mixed|{self.words}")


@dataclass(frozen=True)
class ExpectedDistinct:
    """Distinct words over the number that as many words would have, drawn evenly from V (EAD: Liu et al., 2022,
    https://aclanthology.org/2022.acl-short.86), so that longer texts are not punished as by dist-1.

    vocabulary: V, the same for all systems.
    """

    vocabulary: int
    words: str
    name: str = "EAD"
    interval = None

    def score(self, statistics: Sequence[str]) -> Score:
        """D / (V * (1 - ((V - 1) / V)^C)) for D distinct words of C; 0 of nothing."""
        found = [word for line in statistics for word in line.split()]
        expected = self.vocabulary * -math.expm1(len(found) * math.log1p(-1 / self.vocabulary)) if found else 1.0
        signature = f"ead|vocabulary:{self.vocabulary}|level:corpus|case:mixed|{self.words}"
        return Score(self.name, len(set(found)) / expected, signature)
