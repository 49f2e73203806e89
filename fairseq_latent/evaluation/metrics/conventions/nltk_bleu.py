"""Sentence BLEU as nltk computes it (Bird et al., 2009), with the two smoothings of toolkits that call it.

Method 1 and 7 of Chen and Cherry (2014, https://aclanthology.org/W14-3346) in nltk's form, where a precision may exceed 1.
"""

import math
from collections import Counter
from collections.abc import Sequence

from ..response_metrics import ngrams

ORDERS = 4
K = 5  # nltk's, of method 4
Words = Sequence[str]


def sentence_bleu(
    hypothesis: Words, references: Sequence[Words], weights: Sequence[float], method: int, epsilon: float
):
    """0 where no word matches, as there; from 0 to 1, and somewhat above with method 7."""
    counts = [_matched(hypothesis, references, n) for n in range(1, ORDERS + 2)]
    if counts[0][0] == 0:
        return 0.0
    precisions = _method1(counts[:ORDERS], epsilon) if method == 1 else _method7(counts, len(hypothesis))
    closest = min((len(text) for text in references), key=lambda length: (abs(length - len(hypothesis)), length))
    penalty = 1.0 if len(hypothesis) > closest else math.exp(1 - closest / len(hypothesis))
    return penalty * math.exp(
        sum(weight * math.log(each) for weight, each in zip(weights, precisions, strict=False) if each > 0)
    )


def _matched(hypothesis: Words, references: Sequence[Words], n: int) -> tuple[int, int]:
    """Matched n-grams, clipped by the reference that has most of each, and all of them, 1 at least."""
    found = Counter(ngrams(hypothesis, n))
    most: Counter = Counter()
    for text in references:
        most |= Counter(ngrams(text, n))
    return (found & most).total(), max(1, found.total())


def _method1(counts: Sequence[tuple[int, int]], epsilon: float) -> list[float]:
    """Add epsilon where nothing matches."""
    return [(matched or epsilon) / total for matched, total in counts]


def _method7(counts: Sequence[tuple[int, int]], length: int) -> list[float]:
    """Method 4, smaller counts for shorter texts, and then method 5, means over neighbouring orders."""
    precisions, times = [], 1
    for matched, total in counts[:ORDERS]:
        if matched == 0 and length > 1:
            precisions.append(math.log(length) / (2**times * K) / total)
            times += 1
        else:
            precisions.append(matched / total)
    following = [*precisions, counts[ORDERS][0] / counts[ORDERS][1]]
    before, smoothed = precisions[0] + 1, []
    for place, own in enumerate(precisions):
        before = (before + own + following[place + 1]) / 3
        smoothed.append(before)
    return smoothed
