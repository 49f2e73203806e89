"""What all models with a Gaussian latent share: training on the posterior's samples, heads, checkpoints, the update."""

import functools
from argparse import Namespace
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.models import FairseqEncoder, FairseqEncoderDecoderModel, FairseqIncrementalDecoder
from torch import Tensor

from ..errors import InputError
from ..gaussian import DiagonalGaussian, LatentOutput, seeded_noise
from ..modules.bag_of_words import BagOfWordsHead, fit_bow_head
from ..modules.coders import Encoder, StepwiseDecoder
from ..modules.latents.scaling import LatentScaling
from ..ranges import POSITIVE
from ..selection import DecodedTarget, choose_noise
from ..text.vocabulary import check_words

Part = TypeVar("Part", Encoder, StepwiseDecoder)
USUAL_SCALE = 0.5  # of batch norm on posterior means; Zhu et al. (2020) have .4 to .7


@dataclass
class LatentConfig(FairseqDataclass):
    """Flags of every model with a Gaussian latent."""

    posterior_norm: ChoiceEnum(["none", "batch"]) = field(  # type: ignore[valid-type]
        default="none",
        metadata={
            "help": "batch norm on the posterior's means, which keeps the KL from vanishing (BN-VAE: Zhu et al., 2020); "
            "in one process"
        },
    )
    posterior_norm_scale: float = field(
        default=USUAL_SCALE,
        metadata={
            "help": "standard deviation over a batch of normalised means (gamma): against N(0, I) the KL is at least "
            "Z / 2 times its square, in nats",
            "range": POSITIVE,
        },
    )
    latent_scale: float = field(
        default=1.0,
        metadata={
            "help": "the decoder gets latents around so many times the mean of prior or posterior, while training charges "
            "the KL of the unscaled ones (Scale-VAE: Song et al., 2024)",
            "range": POSITIVE,
        },
    )


class LatentModel(FairseqEncoderDecoderModel):
    """A child builds encoder and decoder and says what `distributions` are; the encoder samples the latent for decoding.

    posterior_inputs: what the posterior reads beside context and response, keywords of `distributions`.
    aligns: the decoder's attention to the context is what --print-alignment asks for.
    latent_class: of prior and posterior.
    reads_whole_batches: in training an example's latent depends on the others of its batch.
    """

    posterior_inputs: tuple[str, ...] = ()
    latent_class: type = DiagonalGaussian
    aligns = False
    refuses_diverged = True  # asked by compat.checkpoints.checkpoint_files: weights that are not finite are not loaded

    def __init__(self, encoder, decoder, latent_dim: int):
        super().__init__(encoder, decoder)
        self.latent_dim = latent_dim
        scalings = [part for part in encoder.modules() if isinstance(part, LatentScaling)]
        self.latent_factor = scalings[0].factor if scalings else 1.0
        self.reads_whole_batches = any(scaling.norm is not None for scaling in scalings)
        self.bow_head: BagOfWordsHead | None = None
        self.num_updates = 0

    def forward(
        self,
        src_tokens: Tensor,
        src_lengths: Tensor,
        prev_output_tokens: Tensor,
        target: Tensor | None = None,
        num_latents: int = 1,
        reduce: str = "best",
        selection_dtype: torch.dtype = torch.float32,
        selection_words: int = 0,
        interpolate: bool = False,
        noise_seed: Tensor | None = None,
        **inputs,
    ):
        """With a target (B, T): packed logits (N, V) of its real tokens under the posterior, and {"latent": LatentOutput}.

        `inputs`: those of the posterior. Without a target the encoder samples the latent, of the prior, as the other
        `inputs` say: logits (B, T, V) and extras. `interpolate` decodes three latents, of the prior, of the posterior and
        between the two: logits (3, N, V).
        """
        if target is None:
            if self.training:
                raise InputError(
                    "this criterion never shows the latent a response; remedy: --criterion elbo, or its family"
                )
            keywords = {name: value for name, value in inputs.items() if name not in self.posterior_inputs}
            encoder_out = self.encoder(src_tokens, src_lengths, noise_seed, **keywords)
            return self.decoder(prev_output_tokens, encoder_out=encoder_out)
        prior, posterior, decoded = self.distributions(src_tokens, prev_output_tokens, target, **inputs)

        def score(z: Tensor) -> Tensor:
            cost = decoded.nll(z, selection_dtype, selection_words)
            if reduce == "importance":
                cost = cost + posterior.log_prob(z) - prior.log_prob(z)
                for row, each in zip(cost, z, strict=True):
                    for divergence in self.divergences(each, src_tokens, **inputs).values():
                        row += divergence
            return cost

        noise = prior_noise = None
        if noise_seed is not None and not self.training:
            *noise, prior_noise = seeded_noise(noise_seed, num_latents + 1, self.latent_dim).unbind(1)
        best_noise, chosen = choose_noise(posterior, num_latents, reduce, score, noise)
        z, prior_z = posterior.rsample(best_noise), None
        latents = z
        if interpolate:
            prior_z = prior.rsample(prior_noise)
            share = torch.rand_like(z[:, :1]) if self.training else torch.full_like(z[:, :1], 0.5)
            latents = torch.stack([prior_z, z, share * prior_z + (1 - share) * z])
        logits = decoded.logits(latents)
        bow_logits = None if self.bow_head is None else self.bow_head(self.bow_input(z, decoded))
        further = self.divergences(z, src_tokens, **inputs)
        losses = self.further_losses(decoded) if self.training else {}
        latent = LatentOutput(
            z, prior, posterior, bow_logits, chosen, prior_z, further, losses, factor=self.latent_factor
        )
        return logits, {"latent": latent}

    def further_losses(self, decoded: Any) -> dict[str, Tensor]:
        """Terms of the training loss beside the bound, of the decoded target: {name: (B,)}."""
        return {}

    def divergences(self, z: Tensor, src_tokens: Tensor, **inputs) -> dict[str, Tensor]:
        """Further terms of the bound, of latents beside z: {name: (B,) nats}."""
        return {}

    def distributions(
        self, src_tokens: Tensor, prev_output_tokens: Tensor, target: Tensor, *args: Any, **inputs: Any
    ) -> tuple[DiagonalGaussian, DiagonalGaussian, DecodedTarget]:
        """Prior and posterior of each example over (B, Z), and its target waiting for a latent; measures use it too."""
        raise NotImplementedError

    @property
    def bow_dim(self) -> int:
        """Width of what the bag-of-words head reads."""
        return self.latent_dim

    def bow_input(self, z: Tensor, decoded: Any) -> Tensor:
        """(B, Z) and the third of `distributions` -> what the bag-of-words head reads (B, bow_dim): z alone."""
        return z

    def add_bow_head(self, hidden_dim: int) -> None:
        """Build the bag-of-words head, which only a criterion that uses it asks for."""
        if self.bow_head is None:
            self.bow_head = BagOfWordsHead(self.bow_dim, len(self.decoder.dictionary), hidden_dim)

    def upgrade_state_dict_named(self, state_dict, name):
        """Take the bag-of-words head as the checkpoint has it; refuse weights that were trained with other words.

        The task's state says which (`LatentTask.check_state`); checkpoints older than that have it among the weights.
        """
        super().upgrade_state_dict_named(state_dict, name)
        old = state_dict.pop(f"{name}.dictionary_digest" if name else "dictionary_digest", None)
        check_words(None if old is None else int(old), self.decoder.dictionary)
        self.bow_head = fit_bow_head(self.bow_head, state_dict, f"{name}.bow_head." if name else "bow_head.")
        if self.bow_head is not None:
            self.bow_head.to(self.encoder.embed_tokens.weight)

    def set_num_updates(self, num_updates: int) -> None:
        """Remember the update for the criterion's schedules."""
        super().set_num_updates(num_updates)
        self.num_updates = num_updates


def latent_scaling(cfg: Any, latent_dim: int) -> LatentScaling:
    """The last step of prior and posterior, as the flags of `LatentConfig` say."""
    norm = str(cfg.posterior_norm) == "batch"
    if not norm and cfg.posterior_norm_scale != USUAL_SCALE:
        raise InputError(
            f"--posterior-norm-scale {cfg.posterior_norm_scale} without --posterior-norm batch; remedy: both, or neither"
        )
    return LatentScaling(latent_dim, cfg.posterior_norm_scale if norm else 0.0, cfg.latent_scale)


@functools.cache
def fairseq_form(part: type[Part]) -> type[Part]:
    """A subclass of an encoder or decoder of ours that is also one of fairseq's: its generator and its models ask for that.

    Parameters, names and results are those of `part`, for which torch alone is enough.
    """
    parent = FairseqIncrementalDecoder if issubclass(part, StepwiseDecoder) else FairseqEncoder
    of_decoders = {
        "onnx_trace": False,
        "adaptive_softmax": None,
    }  # what fairseq's own beginning sets beside the dictionary
    return type(part.__name__, (part, parent), {"__doc__": part.__doc__, "__module__": part.__module__, **of_decoders})


def set_defaults(args: Namespace, **values) -> None:
    """For architectures: set what the user left open."""
    for name, value in values.items():
        setattr(args, name, getattr(args, name, value))
