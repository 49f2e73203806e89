"""Work-arounds for decoding: `patches.apply` puts them in place."""

import functools
import math

import torch
from fairseq.search import DiverseBeamSearch, Sampling

from ..decoding.search import TopKTopPSampling


def honour_topk_with_topp(build_generator):
    """--sampling-topk is ignored when --sampling-topp is set. Delete when fairseq's Sampling applies both."""

    @functools.wraps(build_generator)
    def wrapped(self, *args, **kwargs):
        generator = build_generator(self, *args, **kwargs)
        strategy = getattr(generator, "search", None)
        if type(strategy) is Sampling and strategy.sampling_topk > 0 and strategy.sampling_topp > 0:
            generator.search = TopKTopPSampling(self.target_dictionary, strategy.sampling_topk, strategy.sampling_topp)
        return generator

    return wrapped


def number_beams_in_batch(inference_step):
    """--diverse-beam-groups indexes the batch by data-set ids (IndexError). Delete when search.step gets batch indices.

    Other searches keep the ids: prefix_allowed_tokens_fn(id, tokens) is told the sentence by them.
    """

    @functools.wraps(inference_step)
    def wrapped(self, generator, models, sample, *args, **kwargs):
        if isinstance(getattr(generator, "search", None), DiverseBeamSearch):
            sample = {name: value for name, value in sample.items() if name != "id"}
        return inference_step(self, generator, models, sample, *args, **kwargs)

    return wrapped


def _no_repeat_ngram(self, tokens, lprobs, bsz: int, beam_size: int, step: int):
    """NGramRepeatBlock._no_repeat_ngram: it compares with the end of the preallocated buffer, not with what precedes `step`.

    tokens (bsz * beam, L), of which 0 ... step are decided; lprobs (bsz * beam, V) of the next. The first token is the
    start symbol, which no hypothesis says: it begins an n-gram, but is none itself (n = 1 would ban </s>, its id).
    facebookresearch/fairseq#5206; delete when a release looks at `step`. TorchScript wants the name of the method.
    """
    size: int = self.no_repeat_ngram_size
    first = 1 if size == 1 else 0
    decided = tokens[:, first : step + 1]
    if tokens.dim() > 2 or decided.size(1) < size:  # tokens of several channels have no n-grams
        return lprobs
    ngrams = decided.unfold(1, size, 1)  # (bsz * beam, places, n)
    latest = decided[:, decided.size(1) - (size - 1) :].unsqueeze(1)  # the n - 1 tokens before the next
    found = torch.nonzero((ngrams[:, :, : size - 1] == latest).all(dim=2))
    rows, places = found[:, 0], found[:, 1]
    lprobs[rows, ngrams[rows, places, size - 1]] = -math.inf
    return lprobs
