"""A persona CVAE on GPT-2 that infers the other party's persona from the dialogue (Cho et al., 2022; arXiv 2204.07372).

Two latents stand before the context, as vectors among the decoder's inputs: the perception variable Zp, what the other
party is like, and the fader variable, how much of that the response takes up. In training Zp comes from the other party's
profile, and the fader is the similarity of profile and response; in decoding both come from the context alone. Where the
paper and its released code differ, the options have both.
"""

from argparse import Namespace
from dataclasses import dataclass, field
from typing import Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.models import register_model, register_model_architecture
from torch import Tensor, nn

from ..errors import InputError
from ..gaussian import DiagonalGaussian
from ..modules.gpt2 import (
    GPT2Body,
    end_of_text,
    fill_rows,
    fresh_gpt2,
    pretrained_gpt2,
    rows_of_symbols,
    start_of_text,
    train_rows,
)
from ..modules.persona_gpt2 import DecodedReply, PersonaDecoder, PersonaEncoder
from ..modules.persona_latents import LatentReader, PersonaEmbedding, PersonaLatents, copy_blocks
from ..ranges import DEPTH, POSITIONS, SHARE, SHARE_BELOW_ONE, SIZE, SIZE_OR_NONE
from ..symbols import EOT, RESERVED, USER_SYMBOLS
from .latent_model import LatentModel, set_defaults

SYMBOLS = (*RESERVED, *USER_SYMBOLS)
LONGEST_NUMBER = 9  # digits


@dataclass
class PersonaCVAEConfig(FairseqDataclass):
    embed_dim: int = field(default=1024, metadata={"help": "width of GPT-2, and of both latents (D)", "range": SIZE})
    layers: int = field(default=24, metadata={"help": "GPT-2's blocks", "range": DEPTH})
    heads: int = field(default=16, metadata={"help": "GPT-2's attention heads", "range": SIZE})
    ffn_dim: int = field(
        default=0,
        metadata={
            "help": "width of GPT-2's feed-forward layers; 0: four times --embed-dim, or as --gpt2-path",
            "range": SIZE_OR_NONE,
        },
    )
    positions: int = field(
        default=1024,
        metadata={"help": "GPT-2's positions: the longest context and response together", "range": POSITIONS},
    )
    dropout: float = field(
        default=0.1, metadata={"help": "dropout on GPT-2's embeddings and sublayers", "range": SHARE_BELOW_ONE}
    )
    attention_dropout: float = field(
        default=0.1,
        metadata={
            "help": "dropout on its attention weights; on a CPU, training is faster without",
            "range": SHARE_BELOW_ONE,
        },
    )
    gpt2_path: Optional[str] = field(
        default=None,
        metadata={
            "help": "folder of a GPT-2 in transformers' form (GPT-2, DialoGPT, ...); without it weights are random"
        },
    )
    symbols_from: ChoiceEnum(["mean", "end"]) = field(
        default="mean",
        metadata={
            "help": "symbols that --gpt2-path lacks start near the mean of its rows (the released code); or <eot> and </s> "
            "as its own end of text, which ends turns and responses in DialoGPT, and <s> as its own start of text"
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
            "help": "blocks after which the latents' vectors are mixed in again: auto (evenly spread, 5,11,17,23 of 24; in "
            "small models fewer), every-4, none, or numbers from 1 between commas"
        },
    )
    inject_weight: float = field(
        default=0.5, metadata={"help": "share of the latents' own vectors in the mixture", "range": SHARE}
    )
    turn_end: ChoiceEnum(["eot", "eos"]) = field(
        default="eot",
        metadata={
            "help": "what is read between turns, and between a profile's sentences: a symbol of its own, or that of the "
            "response's end (the released code)"
        },
    )
    reader_layers: int = field(
        default=3, metadata={"help": "layers of the prior's and of the recognition network", "range": DEPTH}
    )
    reader_heads: int = field(default=8, metadata={"help": "their attention heads", "range": SIZE})
    reader_ffn_dim: int = field(default=2048, metadata={"help": "width of their feed-forward layers", "range": SIZE})
    reader_activation: ChoiceEnum(["relu", "gelu", "leaky_relu"]) = field(
        default="relu", metadata={"help": "activation of their feed-forward layers"}
    )
    reader_dropout: float = field(
        default=0.0,
        metadata={
            "help": "their dropout, whose noise alone can meet L_Po-di where they start from nothing",
            "range": SHARE_BELOW_ONE,
        },
    )
    reader_norm: ChoiceEnum(["pre", "post"]) = field(
        default="pre",
        metadata={
            "help": "LayerNorm before sublayers, or after them as in the released code, where no state can be a constant "
            "vector, which a fader is"
        },
    )
    reader_init: ChoiceEnum(["random", "gpt2"]) = field(
        default="random",
        metadata={"help": "start them from N(0, 0.02), or as the first blocks of GPT-2, with its heads and GELU"},
    )
    latent_head_dim: int = field(
        default=0,
        metadata={"help": "hidden layer of the heads of Zp; 0: four times --embed-dim", "range": SIZE_OR_NONE},
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


@register_model("persona_cvae_gpt2", dataclass=PersonaCVAEConfig)
class PersonaCVAEModel(LatentModel):
    """--arch persona_cvae_gpt2"""

    encoder: PersonaEncoder
    decoder: PersonaDecoder
    freezes_rows = False  # some rows of the word table are not trained

    @property
    def posterior_inputs(self) -> tuple[str, ...]:
        """The other party's profile, and how near to it the response is."""
        return () if self.encoder.latents is None else ("partner_tokens", "similarity")

    @classmethod
    def build_model(cls, cfg: PersonaCVAEConfig, task) -> "PersonaCVAEModel":
        """Everything the configuration says ends here: the parts take plain arguments."""
        if not getattr(task, "reads_profiles", False):
            raise InputError(
                "this task gives persona_cvae_gpt2 no profiles, and decodes symbols that it should not say; "
                "remedy: --task persona_dialogue"
            )
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
        model = cls(encoder, PersonaDecoder(dictionary, embedding, body, response), encoder.latent_dim)
        model.freezes_rows = cfg.freeze_embeddings
        return model

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

    def inference_parameters(self) -> list[nn.Parameter]:
        """Those of q(Zp|P) alone, for aggressive training; the words that it reads are GPT-2's."""
        if self.encoder.latents is None:
            raise InputError("--no-latents leaves nothing to infer; remedy: without --aggressive")
        return self.encoder.latents.recognition_parameters()

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
    """Fresh, or from a folder, whose word table then fills ours; InputError where it is of other words than the data."""
    sizes, dropouts = (cfg.embed_dim, cfg.layers, cfg.heads), (cfg.dropout, cfg.attention_dropout)
    if not cfg.gpt2_path:
        return fresh_gpt2(*sizes, cfg.ffn_dim or 4 * cfg.embed_dim, cfg.positions, *dropouts)
    gpt2, table = pretrained_gpt2(cfg.gpt2_path, *sizes, *dropouts)
    # for the checkpoint, which is loaded without that folder
    cfg.positions, cfg.ffn_dim = gpt2.config.n_positions, gpt2.config.n_inner or 4 * cfg.embed_dim
    rows = rows_of_symbols(cfg.gpt2_path)
    copies = {}
    if str(cfg.symbols_from) == "end":
        copies = dict.fromkeys((EOT, dictionary.eos_word), end_of_text(gpt2, cfg.gpt2_path))
        copies[dictionary.bos_word] = start_of_text(gpt2, cfg.gpt2_path)
    lacking = fill_rows(embed_tokens, dictionary.symbols, table, rows, copies)
    remedy = (
        f"remedy: prepare the data with {'SUBWORDS= the data that it was trained on' if rows else 'GPT2=that folder'}"
    )
    if len(lacking) > len(dictionary) / 2:
        raise InputError(f"{cfg.gpt2_path} does not have the data's words; {remedy}")
    if len(table) > len(rows) and (beyond := [symbol for symbol in lacking if symbol.isdecimal()]):  # rows of ids
        raise InputError(f"{cfg.gpt2_path} has no token {beyond[0]}, which the data has; {remedy}")
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
    for name in ("heads", "reader_heads"):
        if cfg.embed_dim % getattr(cfg, name):
            raise InputError(
                f"--{name.replace('_', '-')} {getattr(cfg, name)} does not divide --embed-dim {cfg.embed_dim}; "
                "remedy: one that does"
            )
    if str(cfg.reader_init) == "gpt2":
        asked = (cfg.reader_heads, str(cfg.reader_activation), str(cfg.reader_norm))
        if asked != (cfg.heads, "gelu", "pre") or cfg.reader_layers > cfg.layers:
            raise InputError(
                f"--reader-init gpt2: GPT-2's first blocks are others than these; remedy: --reader-heads {cfg.heads} "
                f"--reader-activation gelu --reader-norm pre --reader-ffn-dim {cfg.ffn_dim or 4 * cfg.embed_dim}, and "
                f"--reader-layers of at most {cfg.layers}"
            )
    return [] if cfg.no_latents else injection_points(cfg.inject_after, cfg.layers)


def injection_points(text: str, layers: int) -> list[int]:
    """`auto`, `every-4`, `none` or `5,11,17,23` -> blocks, from 1."""
    if text == "auto":
        return sorted({max(1, quarter * layers // 4 - 1) for quarter in (1, 2, 3, 4)})
    if text == "none":
        return []
    name, _, step = text.partition("-")
    numbers = "".join(char if char.isdecimal() else " " for char in text).split()
    if any(len(number) > LONGEST_NUMBER for number in numbers):
        raise InputError(f"--inject-after: no model has so many blocks; remedy: numbers from 1 to {layers}")
    if name == "every" and step.isdecimal() and int(step):
        if points := list(range(int(step), layers, int(step))):  # after the last block nobody reads the latents
            return points
        raise InputError(f"--inject-after {text}: of {layers} blocks that is none; remedy: every-1, or none")
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
