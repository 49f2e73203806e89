"""What N candidate responses to a context are worth if the best one is said: quality and diversity against N.

Which n of N candidates there are is chance, and their order is no matter: every number is the mean over all subsets.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fairseq_latent.errors import InputError
from fairseq_latent.text.word_tokenizers import Tokenizer

from ..relevance import RelevanceMeasure
from ..response_metrics import ngrams
from ..score import System
from ..system_scores import Responses
from .overlap import sentence_bleu

BIGRAMS = 2


@dataclass(frozen=True)
class Curves:
    """For n = 1 … N, an array (N,) each: BLEU of the candidate that is said, mean over contexts; relevance, where it was
    measured; distinct bigrams in percent of all."""

    bleu: np.ndarray | None
    relevance: np.ndarray | None
    distinct: np.ndarray


@dataclass(frozen=True)
class BestOf:
    """Of a system with N candidates per context: chosen by its own scores, and by BLEU (None without references)."""

    own: Curves
    oracle: Curves | None


def curves_of(system: System, words: Tokenizer, relevance: RelevanceMeasure | None) -> BestOf:
    """InputError for responses without scores, and for one response per context."""
    count, generations = system.samples, system.generations
    if count < 2:
        raise InputError(f"{system.file}: one response per context; remedy: fairseq-generate … --latent-samples 20")
    if any(len(each.scores) != count for each in generations):
        raise InputError(f"{system.file}: its responses have no scores; remedy: the output of fairseq-generate")
    lines = words([text for each in generations for text in each.hypotheses])
    shape = (len(generations), count)
    nested = [list(lines[start : start + count]) for start in range(0, len(lines), count)]
    scores = np.array([each.scores for each in generations])
    bleu = None
    if system.references is not None:
        texts = iter(words([text for each in system.references for text in each]))
        references = [tuple(next(texts) for _ in each) for each in system.references]
        bleu = np.array([
            [sentence_bleu(line, of) for line in of_context]
            for of_context, of in zip(nested, references, strict=True)
        ])  # fmt: skip
    relevant = None
    if relevance is not None:
        raw = [text for each in generations for text in each.hypotheses]
        (found,) = relevance.measure(Responses(raw, lines, count, words.signature))
        values = [value if counts else math.nan for value, counts, *_ in found.statistics]
        relevant = np.array(values).reshape(shape)
    own = best_of(scores, nested, bleu, relevant)
    return BestOf(own, None if bleu is None else best_of(bleu, nested, bleu, relevant))


def chances(candidates: int) -> np.ndarray:
    """(N, N): the chance of the candidate of rank j, from 0, to be the best of n + 1 that are drawn without replacement."""
    return np.array([
        [math.comb(candidates - 1 - rank, n) / math.comb(candidates, n + 1) for rank in range(candidates)]
        for n in range(candidates)
    ])  # fmt: skip


def best_of(
    scores: np.ndarray, lines: Sequence[Sequence[str]], bleu: np.ndarray | None, relevance: np.ndarray | None
) -> Curves:
    """scores (C, N), what candidates are chosen by, the highest; lines: their words, separated; qualities (C, N).

    Of equal scores the first counts as higher. A context whose relevance is not known (NaN) is left out of its mean.
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    weights = chances(scores.shape[1])

    def mean(values: np.ndarray | None) -> np.ndarray | None:
        if values is None:
            return None
        known = ~np.isnan(values).any(1)
        ranked = np.take_along_axis(values, order, 1)[known]
        return weights @ ranked.mean(0) if len(ranked) else None

    return Curves(mean(bleu), mean(relevance), _distinct(order, lines, weights))


def _distinct(order: np.ndarray, lines: Sequence[Sequence[str]], weights: np.ndarray) -> np.ndarray:
    """Expected number of distinct bigrams over the expected number of all: contexts choose independently."""
    absent: dict[tuple[str, ...], np.ndarray] = {}  # log probability that no context says it, for each n
    total = np.zeros(len(weights))
    for ranks, of_context in zip(order, lines, strict=True):
        found: dict[tuple[str, ...], np.ndarray] = {}
        for rank, place in enumerate(ranks):
            of_line = ngrams(of_context[place].split(), BIGRAMS)
            total += weights[:, rank] * len(of_line)
            for ngram in set(of_line):
                found.setdefault(ngram, np.zeros(len(weights)))
                found[ngram] += weights[:, rank]
        for ngram, said in found.items():
            with np.errstate(divide="ignore"):
                absent[ngram] = absent.get(ngram, 0.0) + np.log1p(-np.minimum(said, 1.0))
    distinct = sum((-np.expm1(each) for each in absent.values()), np.zeros(len(weights)))
    return 100 * np.divide(distinct, total, out=np.zeros_like(total), where=total > 0)
