"""Sentences, or replies to a context, on the straight line between the latents of two (Bowman et al., 2016, Table 8).

Both ends are posterior means, so that the first and the last sentence are reconstructions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fairseq_latent.errors import InputError

from ..runs.response_files import WORD_START
from .checkpoint import Trained

FEWEST = 2


def interpolate(trained: Trained, ends: dict, steps: int, beam: int, max_length: int) -> list[tuple[float, str]]:
    """(share of the second end, sentence) for `steps` latents; `ends` is a batch of two sentences, in order."""
    import torch
    from fairseq.dataclass.configs import GenerationConfig

    model, task = trained.model, trained.task
    with torch.no_grad():
        first, last = model.encoder.posterior(ends["src_tokens"]).mean  # (Z) each
        shares = torch.linspace(0, 1, steps, device=first.device)
        z = torch.lerp(first, last, shares.unsqueeze(1))  # (steps, Z)
        generator = task.build_generator([model], GenerationConfig(beam=beam, max_len_a=0, max_len_b=max_length))
        net_input = {
            "src_tokens": ends["src_tokens"][:1].expand(steps, -1),
            "src_lengths": ends["src_lengths"][:1].expand(steps),
            "latent": z,
        }
        found = generator.generate([model], {"net_input": net_input})
    return [(share, sentence_of(task, beams[0]["tokens"])) for share, beams in zip(shares.tolist(), found, strict=True)]


def ends_of(trained: Trained, examples: Sequence[int] | None, texts: Sequence[str] | None) -> dict:
    """A batch of two sentences, of the split or typed."""
    import torch
    from fairseq.data.data_utils import collate_tokens

    words = trained.task.source_dictionary
    if examples is not None:
        batch = trained.examples(list(dict.fromkeys(examples)))
        place = {number: row for row, number in enumerate(batch["id"].tolist())}
        rows = [batch["net_input"]["src_tokens"][place[number]] for number in examples]
        rows = [row[row.ne(words.pad())] for row in rows]
    else:
        rows = [words.encode_line(text, add_if_not_exist=False).long() for text in texts]
        limit = trained.model.max_positions()[0]
        for text, row in zip(texts, rows, strict=True):
            if len(row) > limit or not text.split():
                raise InputError(
                    f"--text: one has {len(text.split()):,} words, the model takes 1 to {limit - 1:,}; remedy: another"
                )
    tokens = collate_tokens(rows, words.pad(), left_pad=False).to(trained.device)
    return {"src_tokens": tokens, "src_lengths": torch.tensor([len(row) for row in rows], device=trained.device)}


def sentence_of(task, tokens) -> str:
    """A sentence without its end and pads, SentencePiece's tokens joined."""
    words = task.target_dictionary
    tokens = tokens[tokens.ne(words.pad())]
    text = words.string(tokens)
    return words.string(tokens, bpe_symbol="sentencepiece") if WORD_START in text else text


@dataclass(frozen=True)
class Step:
    """share: of the way to the other reply's latent. nll, other_nll: nats of the context's own reply, and of the other one.

    relevance: cosine of the decoded reply and the context, if there is an encoder.
    """

    share: float
    reply: str
    nll: float
    other_nll: float
    relevance: float | None = None


@dataclass(frozen=True)
class Walk:
    """From the latent of a context's own reply to that of another one."""

    context: str
    reply: str
    other: str
    steps: tuple[Step, ...]


def walk(
    trained: Trained,
    example: int,
    other: int,
    steps: int,
    beam: int,
    max_length: int,
    encode: Callable[[Sequence[str]], np.ndarray] | None = None,
) -> Walk:
    """In the context of `example`, from q(z|c, own reply) to q(z|c, reply of `other`), by their means.

    InputError for a model without a latent of the response.
    """
    import fairseq  # noqa: F401  first: it registers the plugin, whose parts import each other
    import torch
    from fairseq.dataclass.configs import GenerationConfig

    from fairseq_latent.data.with_strangers import RESPONSES, swapped

    from .checkpoint import distributions

    model, task = trained.model, trained.task
    if not getattr(task, "reads_context", True):
        raise InputError("a sentence VAE answers no context; remedy: fairseq-latent interpolate")
    if not model.latent_dim or model.posterior_inputs:
        what = "a latent of profiles" if model.latent_dim else "no latent"
        raise InputError(f"this model has {what}, not of replies; remedy: a checkpoint of t_cvae, vhred or rnn_cvae")
    own = trained.examples([example])
    trained.examples([other])  # InputError if there is no such example, or a longer one
    mixed = trained.on_device(swapped(task.dataset(trained.split), [example], [other], RESPONSES))
    with torch.no_grad():
        _, first, decoded = distributions(model, own)
        _, last, decoded_other = distributions(model, mixed)
        shares = torch.linspace(0, 1, steps, device=first.mean.device)
        z = torch.lerp(first.mean, last.mean, shares.unsqueeze(1))  # (steps, Z)
        nll, other_nll = (each.nll(z.unsqueeze(1)).squeeze(1).tolist() for each in (decoded, decoded_other))
        generator = task.build_generator([model], GenerationConfig(beam=beam, max_len_a=0, max_len_b=max_length))
        generator.model = _given(model, z)
        net_input = {
            "src_tokens": own["net_input"]["src_tokens"].expand(steps, -1),
            "src_lengths": own["net_input"]["src_lengths"].expand(steps),
            "latent_mean": True,  # nothing is drawn
        }
        found = generator.generate([model], {"net_input": net_input})
    replies = [sentence_of(task, beams[0]["tokens"]) for beams in found]
    context, reply = trained.texts(example)
    near = [None] * steps if encode is None else _cosines(encode([context, *replies]))
    rows = zip(shares.tolist(), replies, nll, other_nll, near, strict=True)
    return Walk(context, reply, trained.texts(other)[1], tuple(Step(*row) for row in rows))


def _given(model, z):
    """The model for beam search, with these latents (B, Z) in place of those that its encoder draws."""
    from fairseq.sequence_generator import EnsembleModel

    class GivenLatents(EnsembleModel):
        def forward_encoder(self, net_input):
            return [{**out, "latent": [z]} for out in super().forward_encoder(net_input)]

    return GivenLatents([model])


def _cosines(vectors: np.ndarray) -> list[float]:
    """(1 + N, D): of the first with each of the others."""
    directions = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return (directions[1:] @ directions[0]).tolist()
