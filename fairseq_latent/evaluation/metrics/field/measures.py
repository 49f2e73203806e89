"""What `score --field` measures of each system: the columns of other papers, by what there is to measure with."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..system_scores import Measurement, Responses
from .diversity import Entropy, ExpectedDistinct
from .embeddings import EmbeddingMetric, WordRows, average, extrema, greedy, greedy_f1
from .mauve import Mauve, mauve_of
from .overlap import BleuOfMany, BleuUpTo, SelfBleu

ORDERS = (1, 2)
ENTROPIES = (1, 2, 4)


class TokenEncoder(Protocol):
    """Texts to vectors, and to those of their tokens."""

    @property
    def signature(self) -> str:
        """Name and hash of what encodes."""

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """(N, D)"""

    @property
    def tokens_signature(self) -> str:
        """Name and hash of what encodes, and the layer."""

    def of_tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """(n, D) of each, special tokens left out."""


@dataclass(frozen=True)
class FieldMeasures:
    """vocabulary: V of EAD, the words of all that is compared. vectors, encoder: None leaves out what needs them.

    people: the references' texts, of which MAUVE says how near responses are as a whole.
    """

    vocabulary: int
    seed: int
    vectors: WordRows | None = None
    encoder: TokenEncoder | None = None
    people: Sequence[str] | None = None

    def measure(self, responses: Responses) -> list[Measurement]:
        """All that these responses can be measured by; of the references what needs no reference."""
        lines, words, samples = responses.lines, responses.words, responses.samples
        whole = [Entropy(n, words) for n in ENTROPIES]
        found = [
            Measurement(metric, list(lines), samples)
            for metric in (*whole, ExpectedDistinct(self.vocabulary, words), SelfBleu(words, self.seed))
        ]
        found += self._as_a_whole(responses)
        if responses.references is None:
            return found
        repeated = [texts for texts in responses.references for _ in range(samples)]
        sizes = {len(texts) for texts in responses.references}
        count = str(*sizes) if len(sizes) == 1 else "var"  # sacrebleu's word
        for order in ORDERS:
            bleu = BleuUpTo(order, words, count)
            found.append(Measurement(bleu, bleu.statistics(lines, repeated), samples))
        if samples > 1:
            contexts = [lines[start : start + samples] for start in range(0, len(lines), samples)]
            for side in ("precision", "recall"):
                of_many = BleuOfMany(side, samples, words)
                found.append(Measurement(of_many, of_many.statistics(contexts, responses.references)))
        found += self._by_embeddings(responses, repeated)
        return found

    @functools.cached_property
    def mauve(self) -> Mauve | None:
        """None without an encoder, and where there are too few references."""
        if self.encoder is None or self.people is None:
            return None
        return mauve_of(self.encoder(self.people), self.encoder.signature, self.seed)

    def _as_a_whole(self, responses: Responses) -> list[Measurement]:
        if self.mauve is None or self.encoder is None:
            return []
        different = sorted(set(responses.texts))
        vectors = dict(zip(different, self.encoder(different), strict=True))
        return [Measurement(self.mauve, [vectors[text] for text in responses.texts], responses.samples)]

    def _by_embeddings(self, responses: Responses, repeated: Sequence[Sequence[str]]) -> list[Measurement]:
        found = []
        if self.vectors is not None:
            kinds: Sequence[tuple[str, Callable]] = (("average", average), ("greedy", greedy), ("extrema", extrema))
            made_by = f"{self.vectors.signature}|{responses.words}"
            for name, near in kinds:
                metric = EmbeddingMetric(f"embedding {name}", near, self.vectors, made_by)
                found.append(Measurement(metric, metric.statistics(responses.lines, repeated), responses.samples))
        if self.encoder is not None and responses.reference_texts is not None:
            texts = [each for each in responses.reference_texts for _ in range(responses.samples)]
            made_by = f"{self.encoder.tokens_signature}|idf:none|rescaled:no"
            metric = EmbeddingMetric("encoder F1", greedy_f1, self.encoder.of_tokens, made_by, 100.0)
            found.append(Measurement(metric, metric.statistics(responses.texts, texts), responses.samples))
        return found
