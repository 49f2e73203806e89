"""A persona CVAE on GPT-2 that infers the other party's persona from the dialogue (Cho et al., 2022; arXiv 2204.07372).

Two latents stand before the context, as vectors among the decoder's inputs: the perception variable Zp, what the other
party is like, and the fader variable, how much of that the response takes up. In training Zp comes from the other party's
profile, and the fader is the similarity of profile and response; in decoding both come from the context alone. Where the
paper and its released code differ, the options have both.
"""

import math
from argparse import Namespace
from dataclasses import dataclass, field
from typing import Optional

import torch
import torch.nn.functional as F
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.models import FairseqEncoder, FairseqIncrementalDecoder, register_model, register_model_architecture
from torch import Tensor, nn

from ..errors import InputError
from ..gaussian import DiagonalGaussian
from ..losses import sum_by_sentence
from ..modules.drawing import draw
from ..modules.gpt2 import GPT2Body, fill_rows, fresh_gpt2, pretrained_gpt2, rows_of_symbols, train_rows
from ..modules.persona_latents import LatentReader, PersonaEmbedding, PersonaLatents, Tokens, copy_blocks
from ..selection import VocabularyScorer
from ..symbols import EOT, RESERVED, USER_SYMBOLS
from .latent_model import LatentModel, set_defaults

LATENTS = 2  # vectors before the context
SYMBOLS = (*RESERVED, *USER_SYMBOLS)
OF_FADER = 0x5EED  # its noise is another stream than that of Zp


@dataclass
class PersonaCVAEConfig(FairseqDataclass):
    embed_dim: int = field(default=1024, metadata={"help": "width of GPT-2, and of both latents (D)"})
    layers: int = field(default=24, metadata={"help": "GPT-2's blocks"})
    heads: int = field(default=16, metadata={"help": "GPT-2's attention heads"})
    positions: int = field(
        default=1024, metadata={"help": "GPT-2's positions: the longest context and response together"}
    )
    dropout: float = field(default=0.1, metadata={"help": "dropout on GPT-2's embeddings and sublayers"})
    attention_dropout: float = field(
        default=0.1, metadata={"help": "dropout on its attention weights; on a CPU, training is faster without"}
    )
    gpt2_path: Optional[str] = field(
        default=None,
        metadata={
            "help": "folder of a GPT-2 in transformers' form (GPT-2, DialoGPT, ...); without it weights are random"
        },
    )
    freeze_embeddings: bool = field(
        default=False,
        metadata={
            "help": "train neither words nor positions of --gpt2-path, but symbols (<eot>, </s>), which it lacks"
        },
    )
    no_latents: bool = field(default=False, metadata={"help": "GPT-2 alone, as in DialoGPT: no profile is read"})
    inject_after: str = field(
        default="auto",
        metadata={
            "help": "blocks after which the latents' vectors are mixed in again: auto (four, evenly spread, 5,11,17,23 of "
            "24), every-4, none, or numbers from 1 between commas"
        },
    )
    inject_weight: float = field(default=0.5, metadata={"help": "share of the latents' own vectors in the mixture"})
    turn_end: ChoiceEnum(["eot", "eos"]) = field(
        default="eot",
        metadata={
            "help": "what is read between turns, and between a profile's sentences: a symbol of its own, or that of the "
            "response's end (the released code)"
        },
    )
    reader_layers: int = field(default=3, metadata={"help": "layers of the prior's and of the recognition network"})
    reader_heads: int = field(default=8, metadata={"help": "their attention heads"})
    reader_ffn_dim: int = field(default=2048, metadata={"help": "width of their feed-forward layers"})
    reader_activation: ChoiceEnum(["relu", "gelu", "leaky_relu"]) = field(
        default="relu", metadata={"help": "activation of their feed-forward layers"}
    )
    reader_dropout: float = field(
        default=0.0,
        metadata={"help": "their dropout, whose noise alone can meet L_Po-di where they start from nothing"},
    )
    reader_norm: ChoiceEnum(["pre", "post"]) = field(
        default="pre",
        metadata={
            "help": "LayerNorm before sublayers, or after them as in the released code, where no state can be a constant "
            "vector, which a fader is"
        },
    )
    reader_init: ChoiceEnum(["random", "gpt2"]) = field(
        default="random", metadata={"help": "start them from N(0, 0.02), or as the first blocks of GPT-2"}
    )
    latent_head_dim: int = field(
        default=0, metadata={"help": "hidden layer of the heads of Zp; 0: four times --embed-dim"}
    )
    fader_mode: ChoiceEnum(["vector", "scalar"]) = field(
        default="vector",
        metadata={"help": "the prior's fader is the state in its slot, or one number between 0 and 1"},
    )
    fader_direction: ChoiceEnum(["signs", "ones"]) = field(
        default="signs",
        metadata={
            "help": "a fader of s is s * (1, -1, 1, ...), or s * (1, 1, ...) as the paper has it, which GPT-2 cannot see: "
            "each of its LayerNorms takes away what all dimensions have in common"
        },
    )


class PersonaEncoder(FairseqEncoder):
    """Infers both latents from the context alone; the decoder reads the context itself."""

    def __init__(self, dictionary, embedding: PersonaEmbedding, latents: PersonaLatents | None, longest: int):
        super().__init__(dictionary)
        self.embedding, self.latents, self.longest = embedding, latents, longest

    @property
    def embed_tokens(self) -> nn.Embedding:
        """The word table."""
        return self.embedding.embed_tokens

    @property
    def latent_dim(self) -> int:
        """D, or 0 without latents."""
        return 0 if self.latents is None else self.embed_tokens.embedding_dim

    def prior(self, context: Tokens) -> DiagonalGaussian:
        """p(Zp|C) over (B, D)."""
        if self.latents is None:
            return self.nothing(context)
        return self.latents.prior(context, self.embedding)

    def nothing(self, context: Tokens) -> DiagonalGaussian:
        """A Gaussian of no dimension."""
        empty = context.vectors.new_zeros(context.vectors.size(0), 0)
        return DiagonalGaussian(empty, empty)

    def forward(
        self,
        src_tokens: Tensor,
        src_lengths: Tensor | None = None,
        noise_seed: Tensor | None = None,
        num_latents: int = 1,
        latent_mean: bool = False,
        fader: float | None = None,
        fader_noise: float = 0.0,
    ) -> dict[str, list[Tensor]]:
        """(B, S) -> the context, and out["latent"] = [Zp (B, D)], out["fader"] = [(B, D)] of the prior.

        With num_latents = N, src_tokens holds every context N times in a row; each is read once and gets N latents.
        `fader` sets that variable by hand, from 0 to 1; each dimension then varies by N(0, fader_noise^2) of itself.
        """
        tokens = src_tokens[::num_latents]
        context = self.embedding.context(tokens, with_end=True)
        prior = self.prior(context)
        z = draw(prior, noise_seed, num_latents, latent_mean, "persona_dialogue")
        rows = torch.arange(len(tokens), device=src_tokens.device).repeat_interleave(num_latents)
        if self.latents is None:
            chosen = z
        elif fader is None:
            chosen = self.latents.fader(z, context[rows], self.embedding)
        else:
            chosen = self.latents.of_number(torch.full_like(z[:, 0], fader))
            if fader_noise:
                seeds = None if noise_seed is None else noise_seed ^ OF_FADER
                logvar = torch.full_like(prior.mean, 2 * math.log(fader_noise))
                around_one = DiagonalGaussian(torch.ones_like(logvar), logvar)
                chosen = chosen * draw(around_one, seeds, num_latents, False, "persona_dialogue")
        return {"src_tokens": [src_tokens], "latent": [z], "fader": [chosen]}

    def reorder_encoder_out(self, encoder_out, new_order):
        """For beams: each keeps its context and its latents."""
        return {name: [value.index_select(0, new_order) for value in values] for name, values in encoder_out.items()}

    def max_positions(self) -> int:
        """The longest context."""
        return self.longest


class PersonaDecoder(FairseqIncrementalDecoder):
    """GPT-2 over (Zp, fader, context, response); the end of the context is the response's first input."""

    def __init__(self, dictionary, embedding: PersonaEmbedding, body: GPT2Body, longest: int):
        super().__init__(dictionary)
        self.embedding, self.body, self.longest = embedding, body, longest

    def forward(self, prev_output_tokens: Tensor, encoder_out=None, incremental_state=None, **kwargs):
        """(B, T) and an encoder output -> logits (B, T, V), or (B, 1, V) step by step."""
        latents = self.latents(encoder_out["latent"][0], encoder_out["fader"][0])
        context = self.embedding.context(encoder_out["src_tokens"][0], with_end=False)
        if incremental_state is None:
            states = self.states(latents, context, prev_output_tokens)
        else:
            states = self._step(latents, context, prev_output_tokens, incremental_state)
        return self.project(states), {"attn": [None]}

    def latents(self, z: Tensor, fader: Tensor) -> Tensor:
        """(B, D), (B, D) -> (B, 2, D), the vectors before the context; (B, 0, D) where there are none."""
        if not z.size(-1):
            return self.embedding.embed_tokens.weight.new_zeros(len(z), 0, self.embedding.embed_tokens.embedding_dim)
        dtype = self.embedding.embed_tokens.weight.dtype
        return torch.stack([z.to(dtype), fader.to(dtype)], dim=1)

    def states(self, latents: Tensor, context: Tokens, prev_output_tokens: Tensor) -> Tensor:
        """(B, L, D), (B, S), (B, T) -> (B, T, D): all words of the responses at once."""
        read = self._joined(latents, context, prev_output_tokens)
        return self.body(latents, read.vectors, read.positions, read.mask)[:, -prev_output_tokens.size(1) :]

    def project(self, states: Tensor) -> Tensor:
        """(..., D) -> logits (..., V), by the word table."""
        return F.linear(states, self.embedding.embed_tokens.weight)

    def _joined(self, latents: Tensor, context: Tokens, prev_output_tokens: Tensor) -> Tokens:
        """Context and response as one sequence; its mask covers the latents too."""
        response = self.embedding.response(prev_output_tokens, context.mask.sum(1))
        return Tokens(
            torch.cat([context.vectors, response.vectors], 1),
            torch.cat([context.positions, response.positions], 1),
            F.pad(torch.cat([context.mask, response.mask], 1), (latents.size(1), 0), value=True),
        )

    def _step(self, latents: Tensor, context: Tokens, prev_output_tokens: Tensor, incremental_state: dict) -> Tensor:
        """The state of the last word; all before it stand in the cache, or go there now."""
        read = self._joined(latents, context, prev_output_tokens)
        state = self.get_incremental_state(incremental_state, "gpt2")
        cache = self.body.new_cache() if state is None else state["cache"]
        if seen := cache.get_seq_length():
            new = seen - latents.size(1)
            latents = latents[:, :0]
        else:
            new = 0
        states = self.body(latents, read.vectors[:, new:], read.positions[:, new:], read.mask, cache)
        self.set_incremental_state(incremental_state, "gpt2", {"cache": cache})
        return states[:, -1:]

    def reorder_incremental_state(self, incremental_state, new_order: Tensor) -> None:
        """For beams."""
        state = self.get_incremental_state(incremental_state, "gpt2")
        if state is not None:
            state["cache"].reorder_cache(new_order)

    def max_positions(self) -> int:
        """The longest response."""
        return self.longest


class DecodedReply:
    """A batch of responses waiting for Zp (..., B, D), each of which is one pass through GPT-2.

    similarity (B,): the fader's posterior, what training shows the decoder.
    """

    def __init__(
        self, decoder: PersonaDecoder, src_tokens: Tensor, prev_output_tokens: Tensor, target: Tensor, fader: Tensor
    ):
        self.decoder, self.prev_output_tokens, self.fader = decoder, prev_output_tokens, fader
        self.context = decoder.embedding.context(src_tokens, with_end=False)
        self.mask = target.ne(decoder.embedding.pad)
        self.words = target[self.mask]  # (N,)

    def logits(self, z: Tensor) -> Tensor:
        """(..., B, D) -> (..., N, V): pads are never projected to the vocabulary."""
        rows = [self.decoder.project(self._states(each)) for each in _one_by_one(z)]
        return torch.stack(rows).view(*z.shape[:-2], *rows[0].shape)

    def nll(self, z: Tensor, dtype: torch.dtype = torch.float32, words: int = 0) -> Tensor:
        """(..., B, D) -> (..., B) nats a sentence, unsmoothed, without gradient and without dropout, one latent at a time.

        dtype, words: precision and extent of the sum over the vocabulary, see `VocabularyScorer`.
        """
        score = VocabularyScorer(self.decoder.embedding.embed_tokens.weight, self.words, dtype, words)
        training = self.decoder.training
        self.decoder.eval()
        try:
            with torch.no_grad():
                parts = [sum_by_sentence(score(self._states(each)), self.mask) for each in _one_by_one(z)]
        finally:
            self.decoder.train(training)
        return torch.stack(parts).view(z.shape[:-1])

    def _states(self, z: Tensor) -> Tensor:
        """(B, D) -> (N, D)"""
        latents = self.decoder.latents(z, self.fader)
        return self.decoder.states(latents, self.context, self.prev_output_tokens)[self.mask]


def _one_by_one(z: Tensor) -> Tensor:
    """(..., B, D) -> (K, B, D)"""
    return z.flatten(0, -3) if z.dim() > 2 else z.unsqueeze(0)


@register_model("persona_cvae_gpt2", dataclass=PersonaCVAEConfig)
class PersonaCVAEModel(LatentModel):
    """--arch persona_cvae_gpt2"""

    encoder: PersonaEncoder
    decoder: PersonaDecoder

    @classmethod
    def build_model(cls, cfg: PersonaCVAEConfig, task) -> "PersonaCVAEModel":
        """Everything the configuration says ends here: the parts take plain arguments."""
        dictionary = task.target_dictionary
        if task.source_dictionary != dictionary:
            raise InputError("dict.src.txt and dict.tgt.txt differ; remedy: fairseq-preprocess --joined-dictionary")
        points = _check(cfg)
        embed_tokens = nn.Embedding(len(dictionary), cfg.embed_dim)
        nn.init.normal_(embed_tokens.weight, std=0.02)
        gpt2 = _gpt2(cfg, dictionary, embed_tokens)
        body = GPT2Body(gpt2, points, cfg.inject_weight)
        end_of_turn = dictionary.index(EOT) if EOT in dictionary else -1
        read_as = dictionary.eos() if str(cfg.turn_end) == "eos" else end_of_turn
        embedding = PersonaEmbedding(embed_tokens, body.positions, dictionary, end_of_turn, read_as)
        if cfg.freeze_embeddings:
            body.positions.requires_grad_(False)
            train_rows(embed_tokens, [dictionary.index(symbol) for symbol in SYMBOLS if symbol in dictionary])
        response = body.positions.num_embeddings // 4  # of the positions that context and response share
        context = body.positions.num_embeddings - response - 1  # <s> has one
        encoder = PersonaEncoder(dictionary, embedding, None if cfg.no_latents else _latents(cfg, gpt2), context)
        return cls(encoder, PersonaDecoder(dictionary, embedding, body, response), encoder.latent_dim)

    def distributions(
        self,
        src_tokens: Tensor,
        prev_output_tokens: Tensor,
        target: Tensor,
        partner_tokens: Tensor | None = None,
        similarity: Tensor | None = None,
    ) -> tuple[DiagonalGaussian, DiagonalGaussian, DecodedReply]:
        """p(Zp|C), q(Zp|P) of the other party's profile (B, P), and the responses waiting for Zp."""
        context = self.encoder.embedding.context(src_tokens, with_end=True)
        prior = self.encoder.prior(context)
        if self.encoder.latents is None:
            return prior, prior, DecodedReply(self.decoder, src_tokens, prev_output_tokens, target, prior.mean)
        if partner_tokens is None or similarity is None:
            raise InputError(
                "this data has no profiles of the other party to learn from; remedy: PERSONAS=yes when it is prepared, "
                "or --no-latents"
            )
        profile = self.encoder.embedding.profile(partner_tokens)
        posterior = self.encoder.latents.posterior(profile, self.encoder.embedding)
        fader = self.encoder.latents.of_number(similarity.to(prior.mean))
        return prior, posterior, DecodedReply(self.decoder, src_tokens, prev_output_tokens, target, fader)

    def divergences(
        self, z: Tensor, src_tokens: Tensor, similarity: Tensor | None = None, **inputs
    ) -> dict[str, Tensor]:
        """The fader's KL (B,), nats, given the Zp that was decoded."""
        if self.encoder.latents is None:
            return {}
        context = self.encoder.embedding.context(src_tokens, with_end=True)
        fader = self.encoder.latents.fader(z, context, self.encoder.embedding)
        return {"fader_kl": self.encoder.latents.fader_kl(fader, similarity)}


def _gpt2(cfg: PersonaCVAEConfig, dictionary, embed_tokens: nn.Embedding) -> nn.Module:
    """Fresh, or from a folder, whose word table then fills ours."""
    sizes = cfg.embed_dim, cfg.layers, cfg.heads
    if not cfg.gpt2_path:
        return fresh_gpt2(*sizes, cfg.positions, cfg.dropout, cfg.attention_dropout)
    gpt2, table = pretrained_gpt2(cfg.gpt2_path, *sizes, cfg.dropout, cfg.attention_dropout)
    cfg.positions = gpt2.config.n_positions  # for the checkpoint, which is loaded without that folder
    rows = rows_of_symbols(cfg.gpt2_path)
    if fill_rows(embed_tokens, dictionary.symbols, table, rows) < len(dictionary) / 2:
        remedy = "with SUBWORDS= the data that it was trained on" if rows else "with GPT2=that folder"
        raise InputError(f"{cfg.gpt2_path} does not have the data's words; remedy: prepare the data {remedy}")
    return gpt2


def _latents(cfg: PersonaCVAEConfig, gpt2: nn.Module) -> PersonaLatents:
    def reader() -> LatentReader:
        made = LatentReader(
            cfg.embed_dim, cfg.reader_layers, cfg.reader_heads, cfg.reader_ffn_dim, str(cfg.reader_activation),
            str(cfg.reader_norm), cfg.reader_dropout,
        )  # fmt: skip
        if str(cfg.reader_init) == "gpt2":
            copy_blocks(made, gpt2)
        return made

    head_dim = cfg.latent_head_dim or 4 * cfg.embed_dim
    return PersonaLatents(reader(), reader(), cfg.embed_dim, head_dim, str(cfg.fader_mode), str(cfg.fader_direction))


def _check(cfg: PersonaCVAEConfig) -> list[int]:
    """The blocks after which latents are mixed in; InputError for what no model can be."""
    for name in ("embed_dim", "layers", "heads", "reader_layers", "reader_heads", "reader_ffn_dim"):
        if getattr(cfg, name) < 1:
            raise InputError(f"--{name.replace('_', '-')} {getattr(cfg, name)}; remedy: 1 or more")
    for name in ("heads", "reader_heads"):
        if cfg.embed_dim % getattr(cfg, name):
            raise InputError(
                f"--{name.replace('_', '-')} {getattr(cfg, name)} does not divide --embed-dim {cfg.embed_dim}; "
                "remedy: one that does"
            )
    for name, most in (
        ("inject_weight", 1.0),
        ("dropout", 0.999),
        ("attention_dropout", 0.999),
        ("reader_dropout", 0.999),
    ):
        if not 0 <= getattr(cfg, name) <= most:
            raise InputError(f"--{name.replace('_', '-')} {getattr(cfg, name)} is outside [0, 1]; remedy: 0.5, or 0")
    if cfg.positions < 4:
        raise InputError(f"--positions {cfg.positions}: no context and response have so few tokens; remedy: 1024")
    return [] if cfg.no_latents else injection_points(cfg.inject_after, cfg.layers)


def injection_points(text: str, layers: int) -> list[int]:
    """`auto`, `every-4`, `none` or `5,11,17,23` -> blocks, from 1."""
    if text == "auto":
        return sorted({max(1, quarter * layers // 4 - 1) for quarter in (1, 2, 3, 4)})
    if text == "none":
        return []
    name, _, step = text.partition("-")
    if name == "every" and step.isdecimal() and int(step):
        return list(range(int(step), layers, int(step)))  # after the last block nobody reads the latents
    points = text.split(",")
    if not all(point.isdecimal() and 1 <= int(point) <= layers for point in points):
        raise InputError(
            f"--inject-after {text}: blocks are 1 to {layers}; remedy: auto, every-4, none, or e.g. {layers // 2},{layers}"
        )
    return sorted({int(point) for point in points})


def small(args: Namespace) -> None:
    """The sizes of the smallest GPT-2, 124M."""
    set_defaults(args, embed_dim=768, layers=12, heads=12)


def tiny(args: Namespace) -> None:
    """4 layers of 16: for tests."""
    set_defaults(
        args, embed_dim=16, layers=4, heads=2, positions=128, reader_layers=2, reader_heads=2, reader_ffn_dim=32
    )


register_model_architecture("persona_cvae_gpt2", "persona_cvae_gpt2_small")(small)
register_model_architecture("persona_cvae_gpt2", "persona_cvae_gpt2_tiny")(tiny)
