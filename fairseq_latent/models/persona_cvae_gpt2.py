"""A persona CVAE on GPT-2 that infers the partner's persona from the dialogue (Cho et al., 2022; arXiv 2204.07372).

Two latents stand before the context, as vectors among the decoder's inputs: the perception variable Zp, what the partner is
like, and the fader variable, how much of that the response takes up. In training Zp comes from the partner's profile, and
the fader is the similarity of profile and response; in decoding both come from the context alone. If the paper and its
authors' code differ, the options have both.
"""

from argparse import Namespace
from dataclasses import dataclass, field

from fairseq.dataclass import ChoiceEnum
from fairseq.models import register_model, register_model_architecture
from torch import Tensor, nn

from ..errors import InputError
from ..gaussian import DiagonalGaussian
from ..modules.language_models.body import LanguageModelBody, injection_points
from ..modules.language_models.decoder import DecodedReply
from ..modules.language_models.persona import PersonaDecoder, PersonaEncoder
from ..modules.latents.encoders import BlocksReader, LatentReader, copy_blocks
from ..modules.latents.persona import OTHER, PersonaEmbedding, PersonaLatents
from ..ranges import DEPTH, SHARE, SHARE_BELOW_ONE, SIZE, SIZE_OR_NONE
from ..symbols import EOT
from ..text.vocabulary import index_of, joined_dictionary
from .language_model_config import FOUND, NUM_LATENTS, LanguageModelConfig, build_language_model
from .latent_model import LatentConfig, LatentModel, fairseq_form, latent_scaling, set_defaults

LONGEST_NUMBER = 9  # digits


@dataclass
class PersonaCVAEConfig(LatentConfig, LanguageModelConfig):
    no_latents: bool = field(default=False, metadata={"help": "GPT-2 alone, as in DialoGPT: no profile is read"})
    inject_after: str = field(
        default="auto",
        metadata={
            "help": "blocks after which the latents' vectors are mixed in again: auto (evenly spread, 5,11,17,23 of 24; in "
            "small models fewer), every-4, none, or numbers from 1 between commas"
        },
    )
    latents_at: ChoiceEnum(["start", "after_bos"]) = field(
        default="start",
        metadata={
            "help": "where the latents stand: before everything, as in the paper, where every token attends to the first of "
            "them whatever it holds (an attention sink), or after <s>"
        },
    )
    inject_scale: ChoiceEnum(["raw", "state"]) = field(
        default="raw",
        metadata={"help": "mix in the latents' vectors as they are, as in the paper, or as long as the states there"},
    )
    inject_weight: float = field(
        default=0.5, metadata={"help": "share of the latents' own vectors in the mixture", "range": SHARE}
    )
    turn_end: ChoiceEnum(["eot", "eos"]) = field(
        default="eot",
        metadata={
            "help": "what is read between turns, and between a profile's sentences: a symbol of its own, or that of the "
            "response's end (the authors' code)"
        },
    )
    latent_encoder_layers: int = field(
        default=3,
        metadata={
            "help": "layers of the prior network and of the recognition network",
            "range": DEPTH,
            "argparse_alias": "--reader-layers",
        },
    )
    latent_encoder_heads: int = field(
        default=8,
        metadata={
            "help": "attention heads of the prior and recognition networks",
            "range": SIZE,
            "argparse_alias": "--reader-heads",
        },
    )
    latent_encoder_ffn_dim: int = field(
        default=2048,
        metadata={
            "help": "width of the feed-forward layers of the prior and recognition networks",
            "range": SIZE,
            "argparse_alias": "--reader-ffn-dim",
        },
    )
    latent_encoder_activation: ChoiceEnum(["relu", "gelu", "leaky_relu"]) = field(
        default="relu",
        metadata={
            "help": "activation in the feed-forward layers of the prior and recognition networks",
            "argparse_alias": "--reader-activation",
        },
    )
    latent_encoder_dropout: float = field(
        default=0.0,
        metadata={
            "help": "their dropout, whose noise alone can meet L_Po-di where they start from nothing",
            "range": SHARE_BELOW_ONE,
            "argparse_alias": "--reader-dropout",
        },
    )
    latent_encoder_norm: ChoiceEnum(["pre", "post"]) = field(
        default="pre",
        metadata={
            "help": "LayerNorm before sublayers, or after them as in the authors' code, where no state can be a constant "
            "vector, which a fader is",
            "argparse_alias": "--reader-norm",
        },
    )
    latent_encoder_init: ChoiceEnum(["random", "gpt2", "lm"]) = field(
        default="random",
        metadata={
            "help": "start them from N(0, 0.02), as the first blocks of GPT-2, with its heads and GELU, or as copies of the "
            "language model's first blocks, whatever it is, without its causal mask",
            "argparse_alias": "--reader-init",
        },
    )
    latent_head_dim: int = field(
        default=0,
        metadata={"help": "hidden layer of the heads of Zp; 0: four times --embed-dim", "range": SIZE_OR_NONE},
    )
    fader_mode: ChoiceEnum(["vector", "scalar"]) = field(
        default="vector",
        metadata={"help": "the prior's fader is the state in its slot, or one number between 0 and 1"},
    )
    fader_direction: ChoiceEnum(["signs", "ones", "blend"]) = field(
        default="signs",
        metadata={
            "help": "a fader of s is s * (1, -1, 1, ...); or s * (1, 1, ...) as the paper has it, which GPT-2 cannot see: "
            "each of its LayerNorms takes away what all dimensions have in common; or blend, s * u + (1 - s) * v with "
            "orthogonal u and v, which RMSNorms see too: they take away lengths"
        },
    )


@register_model("persona_cvae_gpt2", dataclass=PersonaCVAEConfig)
class PersonaCVAEModel(LatentModel):
    """--arch persona_cvae_gpt2"""

    encoder: PersonaEncoder
    decoder: PersonaDecoder
    found_options: dict  # of the language model's folder, for the checkpoint, which is loaded without it

    @property
    def posterior_inputs(self) -> tuple[str, ...]:
        """The partner's profile, and how near to it the response is."""
        return () if self.encoder.latents is None else ("partner_tokens", "similarity")

    @classmethod
    def build_model(cls, cfg: PersonaCVAEConfig, task) -> "PersonaCVAEModel":
        """Everything the configuration says ends here: the parts take plain arguments."""
        if not getattr(task, "reads_profiles", False):
            raise InputError(
                "this task gives persona_cvae_gpt2 no profiles, and decodes symbols that it should not say; "
                "remedy: --task persona_dialogue"
            )
        dictionary = joined_dictionary(task)
        embed_tokens, model = build_language_model(cfg, dictionary)
        points = _check(cfg, model)
        num_latents = 0 if cfg.no_latents else NUM_LATENTS
        latents = None if cfg.no_latents else _latents(cfg, model)
        body = LanguageModelBody(
            model, num_latents, points, cfg.inject_weight, str(cfg.latents_at), str(cfg.inject_scale), cfg.train_blocks
        )
        positions = body.positions
        if positions is None:
            positions = nn.Embedding(cfg.positions, cfg.embed_dim)
            nn.init.normal_(positions.weight, std=0.02)
        end_of_turn = index_of(dictionary, EOT)
        read_as = dictionary.eos() if str(cfg.turn_end) == "eos" else end_of_turn
        embedding = PersonaEmbedding(
            embed_tokens, positions, body.offset, cfg.positions, dictionary, end_of_turn, read_as
        )
        if cfg.freeze_embeddings and body.positions is not None:
            body.positions.requires_grad_(False)
        response = cfg.positions // 4  # of the positions that context and response share
        context = cfg.positions - response - 1  # <s> has one
        encoder = fairseq_form(PersonaEncoder)(dictionary, embedding, latents, context)
        made = cls(encoder, fairseq_form(PersonaDecoder)(dictionary, embedding, body, response), encoder.latent_dim)
        made.found_options = {name: getattr(cfg, name) for name in FOUND}
        if cfg.train_blocks and latents is not None:
            embedding.marks.weight.data[OTHER].zero_()  # nothing would teach it: see `LanguageModelBody`
        return made

    def upgrade_state_dict_named(self, state_dict: dict, name: str) -> None:
        """Checkpoints from before other language models were bodies call theirs `gpt2`."""
        super().upgrade_state_dict_named(state_dict, name)
        for key in [key for key in state_dict if ".body.gpt2." in key]:
            state_dict[key.replace(".body.gpt2.", ".body.model.")] = state_dict.pop(key)

    def distributions(
        self,
        src_tokens: Tensor,
        prev_output_tokens: Tensor,
        target: Tensor,
        partner_tokens: Tensor | None = None,
        similarity: Tensor | None = None,
    ) -> tuple[DiagonalGaussian, DiagonalGaussian, DecodedReply]:
        """p(Zp|C), q(Zp|P) of the partner's profile (B, P), and the responses waiting for Zp."""
        context = self.encoder.embedding.context(src_tokens, with_end=True)
        prior = self.encoder.prior(context)
        prompt = self.encoder.embedding.context(src_tokens, with_end=False)
        if self.encoder.latents is None:
            return prior, prior, DecodedReply(self.decoder, prompt, prev_output_tokens, target)
        if partner_tokens is None or similarity is None:
            raise InputError(
                "this data has no profiles of the partner to learn from; remedy: PERSONAS=yes when it is prepared, "
                "or --no-latents"
            )
        profile = self.encoder.embedding.profile(partner_tokens)
        posterior = self.encoder.latents.posterior(profile, self.encoder.embedding)
        fader = self.encoder.latents.of_number(similarity.to(prior.mean))
        return prior, posterior, DecodedReply(self.decoder, prompt, prev_output_tokens, target, fader)

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


def _latents(cfg: PersonaCVAEConfig, model: nn.Module) -> PersonaLatents:
    def reader() -> nn.Module:
        if str(cfg.latent_encoder_init) == "lm":
            return BlocksReader(model, cfg.latent_encoder_layers, cfg.latent_encoder_dropout)
        made = LatentReader(
            cfg.embed_dim, cfg.latent_encoder_layers, cfg.latent_encoder_heads, cfg.latent_encoder_ffn_dim,
            str(cfg.latent_encoder_activation), str(cfg.latent_encoder_norm), cfg.latent_encoder_dropout,
        )  # fmt: skip
        if str(cfg.latent_encoder_init) == "gpt2":
            copy_blocks(made, model)
        return made

    head_dim = cfg.latent_head_dim or 4 * cfg.embed_dim
    return PersonaLatents(
        reader(), reader(), cfg.embed_dim, head_dim, str(cfg.fader_mode), str(cfg.fader_direction),
        latent_scaling(cfg, cfg.embed_dim),
    )  # fmt: skip


def _check(cfg: PersonaCVAEConfig, model: nn.Module) -> list[int]:
    """The blocks after which latents are mixed in; InputError for what no model can be."""
    if cfg.no_latents and (str(cfg.posterior_norm) != "none" or cfg.latent_scale != 1):
        raise InputError("--posterior-norm and --latent-scale are about latents; remedy: without --no-latents, or them")
    if str(cfg.latent_encoder_init) != "lm" and cfg.embed_dim % cfg.latent_encoder_heads:
        raise InputError(
            f"--latent-encoder-heads {cfg.latent_encoder_heads} does not divide --embed-dim {cfg.embed_dim}; "
            "remedy: one that does"
        )
    if str(cfg.latent_encoder_init) == "gpt2" and model.config.model_type != "gpt2":
        raise InputError(f"--latent-encoder-init gpt2 of a {model.config.model_type}; remedy: --latent-encoder-init lm")
    if str(cfg.latent_encoder_init) == "gpt2":
        asked = (cfg.latent_encoder_heads, str(cfg.latent_encoder_activation), str(cfg.latent_encoder_norm))
        if asked != (cfg.heads, "gelu", "pre") or cfg.latent_encoder_layers > cfg.layers:
            raise InputError(
                "--latent-encoder-init gpt2: GPT-2's first blocks are others than these; remedy: "
                f"--latent-encoder-heads {cfg.heads} --latent-encoder-activation gelu --latent-encoder-norm pre "
                f"--latent-encoder-ffn-dim {cfg.ffn_dim or 4 * cfg.embed_dim}, and "
                f"--latent-encoder-layers of at most {cfg.layers}"
            )
    if str(cfg.latent_encoder_init) == "lm" and cfg.latent_encoder_layers > cfg.layers:
        raise InputError(
            f"--latent-encoder-layers {cfg.latent_encoder_layers}: the language model has {cfg.layers}; "
            "remedy: at most these"
        )
    points = [] if cfg.no_latents else injection_points(cfg.inject_after, cfg.layers)
    frozen = cfg.layers - cfg.train_blocks if cfg.train_blocks else 0
    if (
        frozen
        and not cfg.no_latents
        and not (cfg.inject_weight and any(frozen <= point < cfg.layers for point in points))
    ):
        raise InputError(
            f"--train-blocks {cfg.train_blocks}: no gradient would reach the latents, which enter below; remedy: "
            f"--inject-after {frozen}, the lowest that is trained, or more of them"
        )
    return points


def small(args: Namespace) -> None:
    """The sizes of the smallest GPT-2, 124M."""
    set_defaults(args, embed_dim=768, layers=12, heads=12)


def tiny(args: Namespace) -> None:
    """4 layers of 16: for tests."""
    set_defaults(
        args,
        embed_dim=16,
        layers=4,
        heads=2,
        positions=128,
        latent_encoder_layers=2,
        latent_encoder_heads=2,
        latent_encoder_ffn_dim=32,
    )


register_model_architecture("persona_cvae_gpt2", "persona_cvae_gpt2_small")(small)
register_model_architecture("persona_cvae_gpt2", "persona_cvae_gpt2_tiny")(tiny)
