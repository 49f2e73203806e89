"""What candidates are ranked by: `--rerank`, and `--rerank-model` where a model judges."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..symbols import plain
from . import WITH_MODEL
from .candidates import Candidates, Reranker


class Relevance:
    """Cosine of response and context by a sentence encoder."""

    def __init__(self, folder: str, device: torch.device):
        from ..modules.sentence_encoder import TextEncoder

        self.encode = TextEncoder(folder, device)

    def __call__(self, batch: Sequence[Candidates]) -> list[list[float]]:
        """From -1 to 1."""
        contexts = [" ".join(plain(candidates.context_text).split()) for candidates in batch]
        texts = sorted({*contexts, *(text for candidates in batch for text in candidates.texts)})
        vectors = self.encode(texts)
        known = dict(
            zip(texts, vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), strict=True)
        )
        return [
            [float(known[text] @ known[context]) for text in candidates.texts]
            for context, candidates in zip(contexts, batch, strict=True)
        ]


class Fluency:
    """Mean log probability of a response's tokens, its end included, by a language model that reads no context; nats."""

    def __init__(self, folder: str, device: torch.device):
        from ..modules.language_models.text_likelihood import NatsOfTexts

        self.nats = NatsOfTexts(folder, device)

    def __call__(self, batch: Sequence[Candidates]) -> list[list[float]]:
        """At most 0."""
        texts = sorted({text for candidates in batch for text in candidates.texts})
        known = {text: -nats / tokens for text, (nats, tokens) in zip(texts, self.nats(texts), strict=True)}
        return [[known[text] for text in candidates.texts] for candidates in batch]


class Oracle:
    """Sentence BLEU against the reference: what a ranking that knew it would choose, an upper bound and no system."""

    def __call__(self, batch: Sequence[Candidates]) -> list[list[float]]:
        """0 to 100."""
        if any(candidates.reference is None for candidates in batch):
            raise InputError("--rerank oracle compares with references, and there are none; remedy: another --rerank")
        return [[sentence_bleu(text, str(candidates.reference)) for text in candidates.texts] for candidates in batch]


def sentence_bleu(text: str, reference: str) -> float:
    """sacrebleu's BLEU-4 of one line, exponential smoothing; by characters where a reference has no spaces."""
    return _bleu("13a" if " " in reference or reference.isascii() else "char").sentence_score(text, [reference]).score


@functools.cache
def _bleu(words: str) -> Any:
    from sacrebleu.metrics import BLEU

    return BLEU(tokenize=words, effective_order=True)


def reranker_of(kind: str, path: str | None, task: Any, device: torch.device) -> Reranker:
    """What `--rerank KIND --rerank-model PATH` asks for; task: of the model whose responses are ranked."""
    if kind in WITH_MODEL and not path:
        raise InputError(f"--rerank {kind} without --rerank-model; remedy: {WITH_MODEL[kind]}")
    if kind not in WITH_MODEL and path:
        raise InputError(f"--rerank {kind} has no model, --rerank-model {path} is given; remedy: leave it out")
    made: dict[str, Callable[[], Reranker]] = {
        "mmi": lambda: _reverse(str(path), task, device),
        "relevance": lambda: Relevance(str(path), device),
        "lm": lambda: Fluency(str(path), device),
        "oracle": Oracle,
    }
    return made[kind]()


def _reverse(path: str, task: Any, device: torch.device) -> Reranker:
    from .reverse_model import ReverseModel

    return ReverseModel(path, task, device)
