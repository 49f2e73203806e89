"""Whether responses are about their own context: their cosine with it, less their cosine with a stranger's.

Any two texts are somewhat alike, and short ones in general terms most of all: what a stranger's context has, of like length
and of another conversation, is taken off. The references' relevance is the yardstick: what people have.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from fairseq_latent import __version__
from fairseq_latent.errors import InputError
from fairseq_latent.symbols import EOT, plain
from fairseq_latent.text.strangers import other_contexts
from fairseq_latent.text.word_vectors import WordVectors

from ..runs.response_files import Generation, read_lines
from .response_metrics import Mean, Score
from .system_scores import Measurement, Responses

Statistic = tuple[float, float, float, float]


class TextEncoder(Protocol):
    """Texts to vectors (N, D), not of length 1; equal texts have equal ones. `signature` says which encoder it is."""

    @property
    def signature(self) -> str:
        """Name and hash of what encodes."""

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """(N, D); zeros of a text without words."""


@dataclass(frozen=True)
class WordMeans:
    """The mean of the word vectors of a text's words, in lower case: a text of unknown words alone gets zeros.

    split: texts to their words between spaces; `tokens` is its signature.
    """

    vectors: WordVectors
    name: str  # of their file
    split: Callable[[Sequence[str]], Sequence[str]]
    tokens: str

    @property
    def signature(self) -> str:
        """The file, by name and hash."""
        return f"vectors:{self.name}|sha256:{self.vectors.sha256[:16]}|mean|case:lower|{self.tokens}"

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """(N, H)"""
        return np.stack([self._mean(line.lower().split()) for line in self.split(texts)])

    def _mean(self, words: Sequence[str]) -> np.ndarray:
        known = [self.vectors.rows[word] for word in words if word in self.vectors.rows]
        if not known:
            return np.zeros(self.vectors.matrix.shape[1])
        return self.vectors.matrix[known].astype(np.float64).mean(axis=0)


@dataclass(frozen=True)
class Relevance(Mean):
    """Mean over responses of the difference of two cosines; responses without a stranger's context are left out."""

    encoder: str  # its signature
    strangers: str  # how they were found
    name: str = "relevance"

    def statistics(
        self, responses: np.ndarray, contexts: np.ndarray, strangers: Sequence[int | None], samples: int
    ) -> list[Statistic]:
        """Vectors (N * samples, D) and (N, D) -> per response: difference, 1 or 0 if it counts, cosine with own, other."""
        found = []
        responses, contexts = _of_length_one(responses), _of_length_one(contexts)
        for place, response in enumerate(responses):
            context = place // samples
            stranger = strangers[context]
            if stranger is None:
                found.append((0.0, 0.0, 0.0, 0.0))
                continue
            own, other = float(response @ contexts[context]), float(response @ contexts[stranger])
            found.append((own - other, 1.0, own, other))
        return found

    def value(self, sums: Sequence[float]) -> float:
        """The mean; of nothing 0."""
        return super().value(sums[:2])

    def score(self, statistics: Sequence[Statistic]) -> Score:
        """Mean over responses, and both cosines."""
        sums = [sum(column) for column in zip(*statistics, strict=True)] or [0.0] * 4
        count = max(1.0, sums[1])
        extra = {"to_own_context": sums[2] / count, "to_a_strangers": sums[3] / count, "responses": int(sums[1])}
        signature = f"relevance|cosine|{self.encoder}|{self.strangers}|version:{__version__}"
        return Score(self.name, self.value(sums), signature, extra)


@dataclass(frozen=True)
class RelevanceMeasure:
    """Relevance of any system's responses to the same contexts, and of the references."""

    encode: TextEncoder
    contexts: Sequence[str]
    strangers: Sequence[int | None]
    signature: str
    _known: dict[str, np.ndarray] = field(default_factory=dict)  # systems repeat themselves, and each other

    def measure(self, responses: Responses) -> list[Measurement]:
        """Of `samples` responses per context."""
        metric = Relevance(self.encode.signature, self.signature)
        vectors, contexts = self._vectors(responses.texts), self._vectors(self.contexts)
        return [
            Measurement(
                metric, metric.statistics(vectors, contexts, self.strangers, responses.samples), responses.samples
            )
        ]

    def _vectors(self, texts: Sequence[str]) -> np.ndarray:
        if new := sorted({text for text in texts if text not in self._known}):
            self._known.update(zip(new, self.encode(new), strict=True))
        return np.stack([self._known[text] for text in texts])


def relevance_measure(
    encode: TextEncoder,
    contexts: Sequence[str],
    references: Sequence[str] | None,
    dialogues: Sequence[str] | None,
    seed: int,
) -> RelevanceMeasure | None:
    """Of contexts with <eot> between their turns; None where no context has a stranger, as where there is one alone."""
    turns = [[turn for part in text.split(EOT) if (turn := part.strip())] for text in contexts]
    lengths = [len(text.split()) for text in contexts]
    strangers = other_contexts(turns, references, dialogues, lengths, seed)
    alone = sum(stranger is None for stranger in strangers)
    if alone == len(strangers):
        return None
    how = f"strangers:{'dialogues' if dialogues else 'texts'},alone:{alone}|seed:{seed}"
    return RelevanceMeasure(encode, [" ".join(plain(text).split()) for text in contexts], strangers, how)


def contexts_of(generations: Sequence[Generation], file: str | Path | None) -> list[str] | None:
    """The lines of `file`, or the S- lines; None where there are neither."""
    if file is None:
        sources = [generation.source for generation in generations]
        return None if any(source is None for source in sources) else [str(source) for source in sources]
    contexts = read_lines(file)
    if len(contexts) != len(generations):
        raise InputError(
            f"{file}: {len(contexts)} contexts of {len(generations)} responses; remedy: those of the same test set, one per "
            "line, e.g. DATA.text/test.src"
        )
    return contexts


def _of_length_one(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
