"""P.Distance of Cho et al. (2022, arXiv 2204.07372, equations 6 and 7): how much of a profile a response takes up.

Each keyword of the profile has its largest cosine with a keyword of the response; their mean, over profile keywords and then
over pairs. The name says distance, but it is a similarity: higher is closer. Other word vectors, other values.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from fairseq_latent import __version__
from fairseq_latent.errors import InputError
from fairseq_latent.files import numbered_lines
from fairseq_latent.symbols import plain
from fairseq_latent.text.similarity import RARE, words
from fairseq_latent.text.word_tokenizers import UNSPACED
from fairseq_latent.text.word_vectors import WordVectors, load_vectors

from ..runs.response_files import read_lines
from .response_metrics import Lines, Mean, Score

FEWEST = 2  # a keyword stands in the training text at least so often
NEGATED = "ain aren couldn didn doesn don hadn hasn haven isn mustn needn shouldn wasn weren won wouldn"
CONTRACTED = frozenset(f"s t d m ll re ve y o {NEGATED}".split())  # what an apostrophe leaves of English stop words
Statistic = tuple[float, float, float, float, float]


@dataclass(frozen=True)
class StopWords:
    """Words that are nobody's keywords, and where they come from."""

    words: frozenset[str]
    signature: str


def stop_words(path: str | Path | None = None, language: str = "en") -> StopWords:
    """Those of a file, one per line; without one scikit-learn's for English, none for Japanese and Chinese."""
    if path is not None:
        found = frozenset(word for line in read_lines(path) for word in words(line))
        if not found:
            raise InputError(f"{path} has no words; remedy: a file of stop words, one per line")
        return StopWords(found, f"stopwords:{Path(path).name}@{_digest(' '.join(sorted(found)))}")
    if language in UNSPACED:
        return StopWords(frozenset(), "stopwords:none")
    from sklearn import __version__ as version
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return StopWords(frozenset(ENGLISH_STOP_WORDS) | CONTRACTED, f"stopwords:scikit-learn-{version}+contractions")


@dataclass(frozen=True)
class Frequencies:
    """How often each word stands in the training text; without a text nothing is known of any."""

    counts: Counter[str]

    @classmethod
    def of_files(cls, paths: Sequence[str | Path], split: Callable[[Iterable[str]], Iterable[str]]) -> "Frequencies":
        """Of the different lines of each file: a profile stands there once for each of its responses.

        split: separates the words of lines by spaces.
        """
        counts: Counter[str] = Counter()
        for path in paths:
            lines = {line for _, line in numbered_lines(path)}
            for line in split(map(plain, sorted(lines))):
                counts.update(words(line))
        if paths and not counts:
            raise InputError(f"{paths[0]}: no words; remedy: --train-text with the training responses and profiles")
        return cls(counts)

    @property
    def signature(self) -> str:
        """Words, all of them, and the rule."""
        if not self.counts:
            return "train:none"
        return f"train:{self.counts.total()}-words|keywords:count>={FEWEST},rate<{RARE:g}"

    def rare(self, found: Sequence[str]) -> list[str]:
        """Those words that are rarer than one in a thousand, and not as rare as a typing error."""
        most = RARE * self.counts.total()
        return [word for word in found if FEWEST <= self.counts[word] < most]


@dataclass(frozen=True)
class Keywords:
    """The words of a text that say what it is about.

    Those that have a vector, are no stop words and are rare in the training text; where none is rare, all but the last.
    """

    vectors: WordVectors
    name: str  # of the vectors' file
    stop: StopWords
    frequencies: Frequencies

    def __call__(self, text: str) -> list[str]:
        """Each once, in alphabetical order."""
        known = sorted({word for word in words(text) if word in self.vectors.rows} - self.stop.words)
        return self.frequencies.rare(known) or known

    def directions(self, text: str) -> np.ndarray:
        """(n, H): the vectors of the keywords, each of length 1; one without a length stays zero."""
        rows = self.vectors.matrix[[self.vectors.rows[word] for word in self(text)]].astype(np.float64)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)

    @property
    def signature(self) -> str:
        """The file, by name and hash, its size, and the rules."""
        count, width = self.vectors.matrix.shape
        file = f"{self.name}|sha256:{self.vectors.sha256[:16]}|{count}x{width}"
        return f"vectors:{file}|{self.frequencies.signature}|{self.stop.signature}"


@dataclass(frozen=True)
class PDistance(Mean):
    """Mean over pairs; 0 where response or profile has no keyword, and the shares that have some are reported.

    Any two texts have words that are somewhat near, so beside it stands what the same responses have with others' profiles,
    those of the pairs half a test set away: what words alone do, without anyone's persona.
    """

    keywords: Keywords
    words: str = "tok:words"
    name: str = "P.Distance"

    def statistics(self, hypotheses: Lines, profiles: Lines) -> list[Statistic]:
        """Per line: its proximity from -1 to 1, 1, whether response and profile have keywords, proximity to another's."""
        directions = lru_cache(maxsize=8192)(self.keywords.directions)  # a profile has many responses
        half = len(profiles) // 2
        others = [*profiles[half:], *profiles[:half]]
        found = []
        for line, profile, other in zip(hypotheses, profiles, others, strict=True):
            response, own = directions(line), directions(profile)
            some = float(len(response) > 0), float(len(own) > 0)
            found.append((proximity(response, own), 1.0, *some, proximity(response, directions(other))))
        return found

    def value(self, sums: Sequence[float]) -> float:
        """The mean; of nothing 0."""
        return super().value(sums[:2])

    def score(self, statistics: Sequence[Statistic]) -> Score:
        """Mean over lines, and how many of them could be measured."""
        sums = [sum(column) for column in zip(*statistics, strict=True)] or [0.0] * 5
        count = max(1.0, sums[1])
        names = ("responses_with_keywords", "profiles_with_keywords", "to_other_profiles")
        extra = {name: total / count for name, total in zip(names, sums[2:], strict=True)}
        signature = f"p-distance|higher:closer|case:lower|{self.keywords.signature}|{self.words}|version:{__version__}"
        return Score(self.name, self.value(sums), signature, extra)


def proximity(response: np.ndarray, profile: np.ndarray) -> float:
    """(m, H), (n, H) of length 1 -> the mean over n of the largest cosine with any of m; 0 where either is empty."""
    if not (len(response) and len(profile)):
        return 0.0
    return float((profile @ response.T).max(axis=1).mean())


def read_profiles(path: str | Path, count: int) -> list[str]:
    """One per line, of as many responses."""
    profiles = [plain(line) for line in read_lines(path)]
    if len(profiles) != count:
        raise InputError(
            f"{path}: {len(profiles)} profiles of {count} contexts; remedy: profiles of the same test set, one per line, "
            "e.g. DATA.text/test.partner"
        )
    if not any(map(str.strip, profiles)):
        raise InputError(f"{path}: all {count} profiles are blank; remedy: data of people who describe themselves")
    return profiles


def p_distance(
    profiles: Sequence[str],
    vectors: str | Path,
    stopwords: str | Path | None = None,
    train_text: Sequence[str | Path] = (),
    language: str = "en",
    split: Callable[[Iterable[str]], Iterable[str]] = list,
    tokens: str = "tok:words",
) -> PDistance:
    """The metric, from its files; InputError where the vectors know no keyword of the `profiles`.

    split: separates the words of lines by spaces, in a language that does not; `tokens` is its signature.
    """
    stop, frequencies = stop_words(stopwords, language), Frequencies.of_files(train_text, split)
    keywords = Keywords(load_vectors(vectors), Path(vectors).name, stop, frequencies)
    if not any(map(keywords, set(profiles))):
        raise InputError(
            f"{vectors}: no vector of any word of the profiles; remedy: vectors of the text's language, lower case"
        )
    return PDistance(keywords, tokens)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
