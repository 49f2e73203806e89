"""Automatic metrics of responses: BLEU, dist-n, inter-dist-n, F1 and length, each with a signature.

A metric turns each line into a statistic (`statistics`), and any list of statistics into a score (`score`): the corpus
value is the score of all of them. For the bootstrap it writes them as a table with a row for each context (`table`) whose
sums, over any choice of contexts, give that choice's value (`value`). Lines have their words separated by spaces
(`tokenize`). A line's reference is a text, or a sequence of texts where a context has several.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fairseq_latent.text.line_ngrams import LineNgrams, Words, bleu_counts
from fairseq_latent.text.overlap import unigram_f1

Lines = Sequence[str]
References = Sequence[str | Sequence[str]]
Ratio = tuple[float, float]
Statistics = np.ndarray | Sequence[Sequence[float]]  # (N, k)
NgramStatistics = LineNgrams | Sequence[tuple[Sequence[int], int]]


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


class Additive:
    """A metric whose statistics are numbers that add up: (N, k), a row per line."""

    interval = "percentile"

    def table(self, statistics: Statistics, samples: int = 1) -> np.ndarray:
        """(contexts, k): the statistics of each context, which has `samples` lines, one after the other."""
        lines = np.asarray(statistics)
        return lines if samples == 1 else lines.reshape(len(lines) // samples, samples, -1).sum(axis=1)


class Mean(Additive):
    """A metric that is a mean over lines; its statistic is a line's value and its weight."""

    def value(self, sums: Sequence[float]) -> float:
        """Zero where there is nothing."""
        total, count = sums
        return total / count if count else 0.0


@dataclass(frozen=True)
class Bleu(Additive):
    """Corpus BLEU-4 of sacrebleu without smoothing, cased: multi-bleu.perl on the same words.

    Zero when any n-gram precision is zero, as there. Of several references each n-gram may match in any one, and the
    length that counts is that of the reference closest in length, the shorter of two.
    """

    words: str  # the tokeniser's signature
    references: str = "1"  # a context; "var" where they differ
    name: str = "BLEU"

    def statistics(self, hypotheses: Lines, references: References) -> np.ndarray:
        """Per line: words of hypothesis and reference, matched 1- to 4-grams, all 1- to 4-grams; they add up."""
        return bleu_counts(hypotheses, (texts for _, texts in _pairs(hypotheses, references))).astype(np.int32)

    def value(self, sums: Sequence[float]) -> float:
        """BLEU of the summed counts."""
        return _bleu(sums).score

    def score(self, statistics: Statistics) -> Score:
        """BLEU of the summed counts, with precisions, matches, brevity penalty and length ratio as extras."""
        from sacrebleu import __version__

        sums = column_sums(statistics, 10)
        bleu = _bleu(sums)
        extra = {
            "precisions": list(bleu.precisions),
            "matches": list(sums[2:6]),
            "brevity_penalty": bleu.bp,
            "ratio": bleu.ratio,
            "hypothesis_words": sums[0],
            "reference_words": sums[1],
        }
        signature = f"bleu|nrefs:{self.references}|case:mixed|{self.words}|smooth:none|version:sacrebleu-{__version__}"
        return Score(self.name, bleu.score, signature, extra)


def _bleu(sums: Sequence[float]):
    from sacrebleu.metrics import BLEU

    return BLEU.compute_bleu(list(sums[2:6]), list(sums[6:]), int(sums[0]), int(sums[1]), smooth_method="none")


@dataclass(frozen=True)
class Distinct:
    """Share of distinct n-grams in the whole file (Li et al., 2016); the papers divide by different counts.

    `ngrams`: 100 * distinct / all n-grams (Sato et al., 2021); `words`: distinct / words (Cho et al., 2022).

    Its bootstrap is linear: a resample has the n-grams that stand in several contexts, and for each time it holds a
    context the n-grams which that one alone has (a jackknife's influence: Efron and Stein, 1981,
    https://doi.org/10.1214/aos/1176345462). The union over the resampled contexts would not do: a repeated context brings
    no new n-gram, so that resamples lie below the value. In simulations with real responses (200 to 4,000 lines) the
    union's percentile interval covered the expected value in 0 to 53 % of samples, its reverse one in 0 to 47 %, the one
    moved to the value in 69 to 100 %; this one in 92 to 100 %, and 81 to 97 % for a model that says nearly always the same.
    """

    interval = "jackknife-percentile"

    n: int
    words: str
    denominator: str = "ngrams"
    dialogues: int = 0  # that the lines are of, where they are not of all
    of_dialogues: int = 0

    @property
    def name(self) -> str:
        """dist-n is a percentage of n-grams, Distinct-n a fraction of words: the papers' own spellings."""
        name = f"dist-{self.n}" if self.denominator == "ngrams" else f"Distinct-{self.n}"
        return f"{name}@{self.dialogues}" if self.dialogues else name

    def statistics(self, hypotheses: Lines, references: References | None = None) -> LineNgrams:
        """Per line: its n-grams (as numbers that hold within this list) and its words; they unite and add up."""
        return Words.of(hypotheses).ngrams(self.n)

    def table(self, statistics: NgramStatistics, samples: int = 1) -> np.ndarray:
        """(contexts, 3): n-grams of this context alone and its share of the common ones, n-grams, words."""
        contexts = len(statistics) // samples
        return self.grouped(statistics, np.arange(len(statistics)) // samples, contexts)

    def grouped(self, statistics: NgramStatistics, group: np.ndarray, groups: int) -> np.ndarray:
        """The same of groups of lines, as contexts and dialogues are; group (N,): the one that each line belongs to."""
        lines = LineNgrams.of(statistics)
        alone, common = lines.held_alone(group, groups)
        counts, words = (np.bincount(group, each, groups) for each in (lines.counts, lines.words))
        return np.array([alone + common / max(1, groups), counts, words], dtype=np.float64).T

    def value(self, sums: Sequence[float]) -> float:
        """Distinct n-grams (no more than there are n-grams) over the denominator."""
        distinct, all_ngrams, words = sums
        total = all_ngrams if self.denominator == "ngrams" else words
        scale = 100 if self.denominator == "ngrams" else 1
        return scale * min(distinct, all_ngrams) / total if total else 0.0

    def score(self, statistics: NgramStatistics) -> Score:
        """Size of the union of n-grams over the sum of the denominators."""
        lines = LineNgrams.of(statistics)
        distinct, all_ngrams, words = lines.distinct, int(lines.counts.sum()), int(lines.words.sum())
        part = f"|dialogues:{self.dialogues}-of-{self.of_dialogues}|lines:{len(statistics)}" if self.dialogues else ""
        signature = f"{self.name}|denominator:{self.denominator}|level:corpus{part}|case:mixed|{self.words}"
        extra = {"distinct": distinct, "total": all_ngrams if self.denominator == "ngrams" else words}
        return Score(self.name, self.value((distinct, all_ngrams, words)), signature, extra)


@dataclass(frozen=True)
class InterDistinct(Mean):
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

    def statistics(self, contexts: Sequence[Lines], references: References | None = None) -> list[Ratio]:
        """Per context (its N responses): the percentage, and 1 if there was any n-gram."""
        found = [[ngram for line in lines for ngram in ngrams(line.split(), self.n)] for lines in contexts]
        return [(100 * len(set(grams)) / len(grams), 1) if grams else (0.0, 0) for grams in found]

    def score(self, statistics: Sequence[Ratio]) -> Score:
        """Mean over the contexts that have n-grams."""
        signature = f"{self.name}|denominator:ngrams|level:context|samples:{self.samples}|case:mixed|{self.words}"
        sums = _sums(statistics)
        return Score(self.name, self.value(sums), signature, {"contexts": sums[1]})


@dataclass(frozen=True)
class F1(Mean):
    """Unigram F1 of ParlAI (ConvAI2): lower-cased, punctuation to spaces, articles dropped; percent, mean of lines.

    Of several references the best one counts, as there.
    """

    words: str = "tok:parlai"
    references: str = "1"
    name: str = "F1"

    def statistics(self, hypotheses: Lines, references: References) -> np.ndarray:
        """Per line: its F1 in percent, and 1."""
        best = (max(unigram_f1(line, text) for text in texts) for line, texts in _pairs(hypotheses, references))
        return _with_weight(100 * np.fromiter(best, np.float64, len(hypotheses)))

    def score(self, statistics: Statistics) -> Score:
        """Mean over lines."""
        signature = f"f1|nrefs:{self.references}|case:lower|articles:dropped|{self.words}"
        return Score(self.name, self.value(_sums(statistics)), signature)


@dataclass(frozen=True)
class Length(Mean):
    """Mean words per response."""

    words: str
    name: str = "length"

    def statistics(self, hypotheses: Lines, references: References | None = None) -> np.ndarray:
        """Per line: its words, and 1."""
        return _with_weight(np.fromiter((len(line.split()) for line in hypotheses), np.float64, len(hypotheses)))

    def score(self, statistics: Statistics) -> Score:
        """Mean over lines."""
        return Score(self.name, self.value(_sums(statistics)), f"length|{self.words}")


def measure(metric, hypotheses, references: References | None = None) -> Score:
    """A metric's corpus value."""
    return metric.score(metric.statistics(hypotheses, references))


def ngrams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All n-grams of a line, in order, with repetitions."""
    return list(zip(*(words[start:] for start in range(n)), strict=False))


def _pairs(hypotheses: Lines, references: References) -> Iterator[tuple[str, Lines]]:
    for line, texts in zip(hypotheses, references, strict=True):
        yield line, [texts] if isinstance(texts, str) else texts


def _with_weight(values: np.ndarray) -> np.ndarray:
    """(N,) -> (N, 2): each with a weight of 1."""
    return np.stack([values, np.ones_like(values)], axis=1)


def column_sums(statistics: Statistics, width: int) -> list:
    """The sums of the `width` columns."""
    return np.asarray(statistics).reshape(-1, width).sum(0).tolist()


def _sums(statistics: Statistics) -> Ratio:
    total, count = column_sums(statistics, 2)
    return total, count
