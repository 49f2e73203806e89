"""Criterion `spacefusion`: three decodings and a regulariser that fuses two latent spaces (Gao et al., 2019).

The latents of the prior, of the posterior and between the two are decoded; each cross-entropy is divided by the batch's
mean response length, as Sato et al. (2021) port it.
"""

from dataclasses import dataclass, field

from fairseq.criterions import register_criterion
from torch import Tensor

from ..errors import InputError
from ..gaussian import DiagonalGaussian, LatentOutput
from ..losses import fusion_distance
from ..ranges import AMOUNT
from .latent_criterion import LatentCriterion, LatentCriterionConfig


@dataclass
class SpaceFusionConfig(LatentCriterionConfig):
    interpolation_weight: float = field(
        default=1.0, metadata={"help": "weight of the interpolated decoding (alpha)", "range": AMOUNT}
    )
    fusion_weight: float = field(
        default=30.0, metadata={"help": "weight of the fusion regulariser (beta)", "range": AMOUNT}
    )
    fusion_clip: float = field(default=0.3, metadata={"help": "distances are clamped here", "range": AMOUNT})
    no_clip_pull: bool = field(
        default=False, metadata={"help": "leave the distance within a pair unclamped, so that far pairs still attract"}
    )


@register_criterion("spacefusion", dataclass=SpaceFusionConfig)
class SpaceFusionCriterion(LatentCriterion):
    """--criterion spacefusion"""

    def __init__(self, cfg: SpaceFusionConfig, task):
        super().__init__(cfg, task)
        self.interpolation_weight, self.fusion_weight = cfg.interpolation_weight, cfg.fusion_weight
        self.clip, self.clip_pull = cfg.fusion_clip, not cfg.no_clip_pull

    def equip(self, model) -> None:
        """Refuse models of which this criterion would train a part alone."""
        gaussian = getattr(model, "latent_class", DiagonalGaussian) is DiagonalGaussian
        if getattr(model, "posterior_inputs", ()) or not getattr(model, "latent_dim", 0) or not gaussian:
            raise InputError(
                "spacefusion fuses two latents of one space, which this model does not have; remedy: --arch t_spacefusion, "
                "or --criterion elbo"
            )
        super().equip(model)

    def decode(self, model, sample: dict) -> tuple[Tensor, dict]:
        """Logits (3, N, V): prior, posterior, interpolation."""
        return model(**sample["net_input"], target=sample["target"], interpolate=True)

    def terms(self, logits: Tensor, latent: LatentOutput, sample: dict, step: int):
        """Yield (name, value of each example (B,), weight)."""
        target = sample["target"]
        mean_length = sample["ntokens"] / target.size(0)
        names = ("ce_prior", "ce_posterior", "ce_interpolation")
        for name, path, weight in zip(names, logits, (1.0, 1.0, self.interpolation_weight), strict=True):
            smoothed, nll = self.nll(path, target)
            yield name, smoothed / mean_length, weight
            if name == "ce_posterior":
                yield "nll", nll.detach(), 0.0  # logged, as every latent model's
        assert latent.prior_z is not None  # `interpolate` gives it
        fusion = fusion_distance(latent.prior_z, latent.z, self.clip, self.clip_pull)
        yield "fusion", fusion, self.fusion_weight
