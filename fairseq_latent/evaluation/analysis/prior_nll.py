"""What a response costs where the latent knows nothing of it: its NLL under samples of the prior, as decoding samples them.

Cho et al. (2022) sample three latents per context; their perplexity is read as the mean of three passes' perplexities.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from fairseq_latent.losses import sequence_nll
from fairseq_latent.text.tokenizers import tokenizer_of

from ..runs.response_files import WORD_START
from .checkpoint import posterior_inputs

LOGITS = 2**26  # scores of words held at once, floats


def prior_nll(model, batch: dict, pad: int, samples: int) -> Tensor:
    """(N, B) nats per response, unsmoothed: all that the encoder samples, it samples from the context alone, as in decoding.

    Latents are those of `fairseq-generate --latent-samples N`. Without any, one pass stands for all.
    """
    if not model.latent_dim and samples > 1:
        return prior_nll(model, batch, pad, 1).expand(samples, -1)
    encoded = _encoded(model, batch, samples)
    previous, target = batch["net_input"]["prev_output_tokens"], batch["target"]
    rows = torch.arange(len(target), device=target.device)
    return _nll(model, encoded, rows, previous, target, pad, samples)


def replies_nll(model, batch: dict, candidates: Tensor, pad: int, samples: int) -> Tensor:
    """Candidates (B, C, R) with their ends -> (N, B, C) nats, each of the same N latents; 0 where there is none.

    Contexts are encoded once, whatever C; a language model reads them once per latent.
    """
    encoded = _encoded(model, batch, samples)
    size, count, _ = candidates.shape
    first = batch["net_input"]["prev_output_tokens"][:1, :1, None].expand(size, count, 1)  # </s>
    ends = (candidates.ne(pad).sum(2, keepdim=True) - 1).clamp(min=0)
    previous = torch.cat([first, candidates.scatter(2, ends, pad)[..., :-1]], 2)
    if hasattr(model.decoder, "replies_nll"):
        contexts = torch.arange(size, device=candidates.device) * samples
        parts = [model.encoder.reorder_encoder_out(encoded, contexts + sample) for sample in range(samples)]
        return torch.stack([model.decoder.replies_nll(part, previous, candidates) for part in parts])
    target = candidates.flatten(0, 1)
    here = target.ne(pad).any(1).nonzero().squeeze(1)
    nll = _nll(model, encoded, here // count, previous.flatten(0, 1)[here], target[here], pad, samples)
    return nll.new_zeros(samples, size * count).index_copy(1, here, nll).view(samples, size, count)


def _encoded(model, batch: dict, samples: int) -> dict:
    """The contexts, each with N latents in a row."""
    from fairseq_latent.decoding.contexts import expand_contexts

    unseen = (*posterior_inputs(batch), "prev_output_tokens")
    inputs = {name: value for name, value in batch["net_input"].items() if name not in unseen}
    return model.encoder(**(expand_contexts(inputs, samples) if samples > 1 else inputs))


def _nll(model, encoded: dict, rows: Tensor, previous: Tensor, target: Tensor, pad: int, samples: int) -> Tensor:
    """Responses (M, T) to the contexts `rows` (M,) -> (N, M) nats."""
    size, length = target.shape
    at_once = max(1, LOGITS // (length * len(model.decoder.dictionary)))
    found = torch.empty(samples, size, device=target.device)
    for sample in range(samples):
        for chunk in torch.arange(size, device=target.device).split(at_once):
            part = model.encoder.reorder_encoder_out(encoded, rows[chunk] * samples + sample)
            logits, _ = model.decoder(previous[chunk], encoder_out=part)
            real = target[chunk].ne(pad)
            found[sample, chunk] = sequence_nll(logits[real], target[chunk], pad)[1]
    return found


def word_counter(data: str | Path, dictionary) -> Callable[[Tensor], int]:
    """Tokens (T,) -> words between spaces in the text that they stand for, and one for its end.

    Perplexities a token depend on the subwords, those a word do not; in a language without spaces a text is one word.
    """
    from fairseq import utils
    from fairseq.data.data_utils import post_process

    subwords = tokenizer_of(utils.split_paths(str(data))[0])

    def words(tokens: Tensor) -> int:
        text = subwords.decode(dictionary.string(tokens[tokens.ne(dictionary.pad())]))
        if WORD_START in text:  # the data's folder lacks its subword model
            text = post_process(text, "sentencepiece")
        return len(text.split()) + 1

    return words
