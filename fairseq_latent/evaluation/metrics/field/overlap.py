"""Word sequences that responses share with references, and among themselves.

BLEU is sacrebleu's everywhere; words are those of `score`.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..response_metrics import Additive, Bleu, Lines, Mean, Ratio, References, Score, Statistics, column_sums

SELF_SAMPLE = 200  # responses of self-BLEU, each against all others: the work grows with the square


@dataclass(frozen=True)
class BleuUpTo(Additive):
    """Corpus BLEU of n-grams up to `order` (Papineni et al., 2002): BLEU-1, BLEU-2."""

    order: int
    words: str
    references: str = "1"

    @property
    def name(self) -> str:
        """BLEU-n."""
        return f"BLEU-{self.order}"

    def statistics(self, hypotheses: Lines, references: References) -> np.ndarray:
        """Those of BLEU."""
        return Bleu(self.words, self.references).statistics(hypotheses, references)

    def value(self, sums: Sequence[float]) -> float:
        """BLEU of the summed counts."""
        from sacrebleu.metrics import BLEU

        counts = [int(each) for each in sums]
        matched, there = counts[2 : 2 + self.order], counts[6 : 6 + self.order]
        return BLEU.compute_bleu(
            matched, there, counts[0], counts[1], smooth_method="none", max_ngram_order=self.order
        ).score

    def score(self, statistics: Statistics) -> Score:
        """BLEU of the summed counts."""
        from sacrebleu import __version__

        sums = column_sums(statistics, 10)
        signature = (
            f"bleu|order:{self.order}|nrefs:{self.references}|case:mixed|{self.words}|smooth:none"
            f"|version:sacrebleu-{__version__}"
        )
        return Score(self.name, self.value(sums), signature)


@lru_cache(maxsize=65536)
def sentence_bleu(hypothesis: str, references: tuple[str, ...]) -> float:
    """sacrebleu's BLEU-4 of one line, exponential smoothing, orders that it is too short for left out; 0 to 100."""
    from sacrebleu.metrics import BLEU

    scorer = BLEU(tokenize="none", force=True, effective_order=True)
    return scorer.sentence_score(hypothesis, list(references)).score


@dataclass(frozen=True)
class BleuOfMany(Mean):
    """N responses against the references of a context (Zhao et al., 2017, https://arxiv.org/abs/1703.10960).

    precision: how well the nearest reference covers a response, mean over responses; recall: how well the nearest response
    covers a reference, mean over references.
    """

    side: str  # precision or recall
    samples: int
    words: str

    @property
    def name(self) -> str:
        """BLEU precision or BLEU recall."""
        return f"BLEU {self.side}"

    def statistics(self, contexts: Sequence[Lines], references: Sequence[Sequence[str]]) -> list[Ratio]:
        """Per context: the value, and 1."""
        found: list[Ratio] = []
        for responses, wanted in zip(contexts, references, strict=True):
            grid = [[sentence_bleu(line, (text,)) for text in wanted] for line in responses]
            best = [max(row) for row in (grid if self.side == "precision" else zip(*grid, strict=True))]
            found.append((sum(best) / len(best), 1))
        return found

    def score(self, statistics: Sequence[Ratio]) -> Score:
        """Mean over contexts."""
        sums = [sum(column) for column in zip(*statistics, strict=True)] or [0, 0]
        signature = f"bleu-{self.side}|samples:{self.samples}|sentence|smooth:exp|{self.words}"
        return Score(self.name, self.value(sums), signature)


@dataclass(frozen=True)
class SelfBleu:
    """Mean BLEU of a response against all others of a random sample (Zhu et al., 2018, https://arxiv.org/abs/1802.01886)."""

    words: str
    seed: int
    name: str = "self-BLEU"
    interval = None  # a resample repeats what it draws twice

    def score(self, statistics: Sequence[str]) -> Score:
        """0 to 100; of fewer than two responses 0."""
        lines = list(statistics)
        if len(lines) > SELF_SAMPLE:
            lines = random.Random(self.seed).sample(lines, SELF_SAMPLE)
        value = 0.0
        if len(lines) > 1:
            others = (tuple(sorted(lines[:place] + lines[place + 1 :])) for place in range(len(lines)))
            value = sum(map(sentence_bleu, lines, others)) / len(lines)
        signature = f"self-bleu|sample:{len(lines)}-of-{len(statistics)}|seed:{self.seed}|smooth:exp|{self.words}"
        return Score(self.name, value, signature)
