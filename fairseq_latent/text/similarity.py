"""How much of a profile a response carries: parameter-free similarities in [0, 1], what q(fader | profile, response) is.

Cho et al. (2022) leave the function open. `keyword_cosine` is the one of their authors' code; the others are the usual ones.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from fairseq_latent.errors import InputError
from fairseq_latent.text.word_vectors import WordVectors

SIMILARITIES = ("embedding", "tfidf", "f1", "keyword_cosine")
WITH_VECTORS = ("embedding", "keyword_cosine")
WORD = re.compile(r"\w+")
ARTICLES = frozenset(("a", "an", "the"))
RARE = 1e-3  # of all words: a keyword is rarer, which leaves out stop words in any language
STRONG = 0.4  # a keyword that is met as well as this decides alone

Similarity = Callable[[str, Sequence[str]], float]  # of a response and the sentences of a profile


def words(text: str) -> list[str]:
    """Lower-case words without punctuation; i'm is two."""
    return WORD.findall(text.lower())


@dataclass
class Frequencies:
    """In how many texts, and how often, each word stands."""

    texts: int = 0
    within: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, text: str) -> None:
        """Count one more text."""
        found = words(text)
        self.texts += 1
        self.counts.update(found)
        self.within.update(set(found))

    def idf(self, word: str) -> float:
        """ln((1 + N) / (1 + n)) + 1 for a word that stands in n of N texts: the smooth form, finite for new words."""
        return math.log((1 + self.texts) / (1 + self.within[word])) + 1


def similarity(name: str, frequencies: Frequencies, vectors: WordVectors | None = None) -> Similarity:
    """One of SIMILARITIES; InputError where it lacks its vectors, or they have no word of the text."""
    if name in WITH_VECTORS:
        if vectors is None:
            raise InputError(f"similarity {name} needs word vectors; remedy: --vectors FILE")
        if not frequencies.counts.keys() & vectors.rows.keys():
            raise InputError(
                "the word vectors have no word of the text; remedy: vectors of the text's language, lower case"
            )
    return {
        "embedding": lambda: _embedding(frequencies, vectors),
        "tfidf": lambda: _tfidf(frequencies),
        "f1": lambda: _f1,
        "keyword_cosine": lambda: _keyword_cosine(frequencies, vectors),
    }[name]()


def coverage(frequencies: Frequencies, vectors: WordVectors) -> float:
    """The share of the text's words that have a vector."""
    known = sum(count for word, count in frequencies.counts.items() if word in vectors.rows)
    return known / max(1, frequencies.counts.total())


def _embedding(frequencies: Frequencies, vectors: WordVectors) -> Similarity:
    """max over sentences of the cosine of idf-weighted means of centred word vectors, negative ones 0.

    Raw vectors share a direction, by which all texts would be alike. So the vocabulary's mean is taken off, each word
    weighted as the training text weights it: its count times its idf.
    """
    known = [word for word in frequencies.counts if word in vectors.rows]
    weights = [frequencies.counts[word] * frequencies.idf(word) for word in known]
    mean = np.average(
        vectors.matrix[[vectors.rows[word] for word in known]].astype(np.float64), axis=0, weights=weights
    )

    def direction(text: str) -> np.ndarray:
        found = [word for word in words(text) if word in vectors.rows]
        if not found:
            return np.zeros_like(mean)
        weights = np.array([frequencies.idf(word) for word in found])
        summed = weights @ (vectors.matrix[[vectors.rows[word] for word in found]] - mean)  # (H,)
        length = np.linalg.norm(summed)
        return summed / length if length else summed

    @lru_cache(maxsize=4096)
    def directions(profile: tuple[str, ...]) -> np.ndarray:
        return np.stack([direction(sentence) for sentence in profile])

    return lambda response, profile: _clamp((directions(tuple(profile)) @ direction(response)).max())


def _tfidf(frequencies: Frequencies) -> Similarity:
    """max over sentences of the cosine of vectors of counts times idf."""

    def weighted(text: str) -> dict[str, float]:
        weights = {word: count * frequencies.idf(word) for word, count in Counter(words(text)).items()}
        length = math.sqrt(sum(weight * weight for weight in weights.values()))
        return {word: weight / length for word, weight in weights.items()}

    of_sentence = lru_cache(maxsize=65536)(weighted)

    def of(response: str, profile: Sequence[str]) -> float:
        ours = weighted(response)
        cosines = (
            sum(weight * theirs[word] for word, weight in ours.items() if word in theirs)
            for theirs in map(of_sentence, profile)
        )
        return _clamp(max(cosines))

    return of


def _f1(response: str, profile: Sequence[str]) -> float:
    """max over sentences of the unigram F1, without articles as in ParlAI."""
    return max(unigram_f1(_counted(response), _counted(sentence)) for sentence in profile)


def _counted(text: str) -> Counter[str]:
    return Counter(word for word in words(text) if word not in ARTICLES)


def unigram_f1(first: Counter[str], second: Counter[str]) -> float:
    """2 * shared words / words of both."""
    return 2 * (first & second).total() / max(1, first.total() + second.total())


def _keyword_cosine(frequencies: Frequencies, vectors: WordVectors) -> Similarity:
    """Of the profile's keywords, each its largest absolute cosine with a word of the response: s is the largest of these
    where it is 0.4 or more, else their mean (the authors' code of Cho et al., 2022, there with GPT-2's word table)."""
    most = RARE * frequencies.counts.total()

    def rows(found: Iterable[str]) -> np.ndarray:
        matrix = vectors.matrix[[vectors.rows[word] for word in found]].astype(np.float64)
        return matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)

    @lru_cache(maxsize=4096)
    def keywords(profile: tuple[str, ...]) -> np.ndarray | None:
        known = sorted({word for sentence in profile for word in words(sentence) if word in vectors.rows})
        rare = [word for word in known if 2 <= frequencies.counts[word] < most]
        return rows(rare or known) if known else None

    def of(response: str, profile: Sequence[str]) -> float:
        wanted = keywords(tuple(profile))
        known = [word for word in words(response) if word in vectors.rows]
        if wanted is None or not known:
            return 0.0
        best = np.abs(wanted @ rows(known).T).max(axis=1)  # (keywords,)
        return _clamp(best.max() if best.max() >= STRONG else best.mean())

    return of


def _clamp(value: float) -> float:
    return float(min(1.0, max(0.0, value)))
