"""Automatic metrics of responses: BLEU, dist-n, inter-dist-n, F1 and length, each with a signature.

A metric turns each line into a statistic (`statistics`), and any list of statistics into a score (`score`): the corpus
value is the score of all of them, a bootstrap interval comes from scores of resampled lists. Lines have their words
separated by spaces (`tokenize`).
"""

import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Lines = Sequence[str]
Ratio = tuple[float, float]


@dataclass(frozen=True)
class Score:
    """A metric's value; `signature` says how it was made, `extra` holds the parts it consists of.

    `interval` is the value's 95 % bootstrap interval (low, high); None where nothing was resampled.
    """

    name: str
    value: float
    signature: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Bleu:
    """Corpus BLEU-4 of sacrebleu without smoothing, cased, one reference: multi-bleu.perl on the same words.

    Zero when any n-gram precision is zero, as there.
    """

    words: str  # the tokeniser's signature
    name: str = "BLEU"

    def statistics(self, hypotheses: Lines, references: Lines) -> list[tuple[int, ...]]:
        """Per line: words of hypothesis and reference, matched 1- to 4-grams, all 1- to 4-grams; they add up."""
        from sacrebleu.metrics import BLEU

        # effective_order only silences a warning about single sentences; the counts do not depend on it.
        counter = BLEU(tokenize="none", smooth_method="none", force=True, effective_order=True)
        lines = (counter.sentence_score(line, [reference]) for line, reference in _pairs(hypotheses, references))
        return [(line.sys_len, line.ref_len, *line.counts, *line.totals) for line in lines]

    def score(self, statistics: Sequence[tuple[int, ...]]) -> Score:
        """BLEU of the summed counts, with precisions, brevity penalty and length ratio as extras."""
        from sacrebleu import __version__
        from sacrebleu.metrics import BLEU

        sums = [sum(column) for column in zip(*statistics, strict=True)] or [0] * 10
        bleu = BLEU.compute_bleu(sums[2:6], sums[6:], sums[0], sums[1], smooth_method="none")
        extra = {
            "precisions": list(bleu.precisions),
            "brevity_penalty": bleu.bp,
            "ratio": bleu.ratio,
            "hypothesis_words": sums[0],
            "reference_words": sums[1],
        }
        signature = f"bleu|nrefs:1|case:mixed|{self.words}|smooth:none|version:sacrebleu-{__version__}"
        return Score(self.name, bleu.score, signature, extra)


@dataclass(frozen=True)
class Distinct:
    """Share of distinct n-grams in the whole file (Li et al., 2016); the papers divide by different counts.

    `ngrams`: 100 * distinct / all n-grams (Sato et al., 2021); `words`: distinct / words (Cho et al., 2022).
    """

    n: int
    words: str
    denominator: str = "ngrams"

    @property
    def name(self) -> str:
        """dist-n is a percentage of n-grams, Distinct-n a fraction of words: the papers' own spellings."""
        return f"dist-{self.n}" if self.denominator == "ngrams" else f"Distinct-{self.n}"

    def statistics(self, hypotheses: Lines, references: Lines | None = None) -> list[tuple[tuple[int, ...], int]]:
        """Per line: its n-grams (as numbers that hold within this list) and its words; they unite and add up."""
        numbers: dict[Hashable, int] = {}
        return [
            (tuple(numbers.setdefault(ngram, len(numbers)) for ngram in ngrams(words, self.n)), len(words))
            for words in map(str.split, hypotheses)
        ]

    def score(self, statistics: Sequence[tuple[tuple[int, ...], int]]) -> Score:
        """Size of the union of n-grams over the sum of the denominators."""
        distinct = len(set().union(*(numbers for numbers, _ in statistics)))
        total = sum(len(numbers) if self.denominator == "ngrams" else words for numbers, words in statistics)
        scale = 100 if self.denominator == "ngrams" else 1
        signature = f"{self.name}|denominator:{self.denominator}|level:corpus|case:mixed|{self.words}"
        value = scale * distinct / total if total else 0.0
        return Score(self.name, value, signature, {"distinct": distinct, "total": total})


@dataclass(frozen=True)
class InterDistinct:
    """Diversity among the responses to one context: 100 * distinct n-grams / n-grams of all N, averaged over contexts.

    The inter-dist of latent-variable dialogue models (Gu et al., 2019, DialogWAE, https://arxiv.org/abs/1805.12352).
    """

    n: int
    samples: int
    words: str

    @property
    def name(self) -> str:
        """inter-dist-n."""
        return f"inter-dist-{self.n}"

    def statistics(self, contexts: Sequence[Lines], references: Lines | None = None) -> list[Ratio]:
        """Per context (its N responses): the percentage, and 1 if there was any n-gram."""
        found = [[ngram for line in lines for ngram in ngrams(line.split(), self.n)] for lines in contexts]
        return [(100 * len(set(grams)) / len(grams), 1) if grams else (0.0, 0) for grams in found]

    def score(self, statistics: Sequence[Ratio]) -> Score:
        """Mean over the contexts that have n-grams."""
        signature = f"{self.name}|denominator:ngrams|level:context|samples:{self.samples}|case:mixed|{self.words}"
        return Score(self.name, _mean(statistics), signature, {"contexts": sum(count for _, count in statistics)})


PUNCTUATION = re.compile(r"""[!"#$%&()*+,\-./:;<=>?@\[\]\\^`{|}~_']""")
ARTICLES = re.compile(r"\b(a|an|the)\b")


@dataclass(frozen=True)
class F1:
    """Unigram F1 of ParlAI (ConvAI2): lower-cased, punctuation to spaces, articles dropped; percent, mean of lines."""

    words: str = "tok:parlai"
    name: str = "F1"

    def statistics(self, hypotheses: Lines, references: Lines) -> list[Ratio]:
        """Per line: its F1 in percent, and 1."""
        return [(100 * unigram_f1(line, reference), 1) for line, reference in _pairs(hypotheses, references)]

    def score(self, statistics: Sequence[Ratio]) -> Score:
        """Mean over lines."""
        return Score(self.name, _mean(statistics), f"f1|case:lower|articles:dropped|{self.words}")


@dataclass(frozen=True)
class Length:
    """Mean words a response."""

    words: str
    name: str = "length"

    def statistics(self, hypotheses: Lines, references: Lines | None = None) -> list[Ratio]:
        """Per line: its words, and 1."""
        return [(len(line.split()), 1) for line in hypotheses]

    def score(self, statistics: Sequence[Ratio]) -> Score:
        """Mean over lines."""
        return Score(self.name, _mean(statistics), f"length|{self.words}")


def measure(metric, hypotheses, references: Lines | None = None) -> Score:
    """A metric's corpus value."""
    return metric.score(metric.statistics(hypotheses, references))


def ngrams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All n-grams of a line, in order, with repetitions."""
    return list(zip(*(words[start:] for start in range(n)), strict=False))


def unigram_f1(hypothesis: str, reference: str) -> float:
    """Harmonic mean of unigram precision and recall after ParlAI's normalisation; 0 without a common word."""
    guess, gold = (_normalised(text) for text in (hypothesis, reference))
    common = sum((Counter(guess) & Counter(gold)).values())
    return 2 * common / (len(guess) + len(gold)) if common else 0.0


def _normalised(text: str) -> list[str]:
    return ARTICLES.sub(" ", PUNCTUATION.sub(" ", text.lower())).split()


def _pairs(hypotheses: Lines, references: Lines):
    return zip(hypotheses, references, strict=True)


def _mean(statistics: Sequence[Ratio]) -> float:
    total, count = (sum(column) for column in zip(*statistics, strict=True)) if statistics else (0, 0)
    return total / count if count else 0.0
