"""Criterion `mc_elbo`: the mean of K latents is decoded (Kruengkrai, 2019); not a mean of K losses."""

from dataclasses import dataclass, field

from fairseq.criterions import register_criterion
from fairseq.dataclass import ChoiceEnum

from ..ranges import SAMPLES
from .elbo import ELBOConfig, ELBOCriterion


@dataclass
class MCELBOConfig(ELBOConfig):
    k: int = field(default=5, metadata={"help": "latent samples per example in training (K)", "range": SAMPLES})
    sample_reduction: ChoiceEnum(["best", "mean", "importance"]) = field(  # type: ignore[valid-type]
        default="mean",
        metadata={
            "help": "keep each example's best of K, their mean (Monte Carlo sampling), or one by importance weight"
        },
    )


@register_criterion("mc_elbo", dataclass=MCELBOConfig)
class MCELBOCriterion(ELBOCriterion):
    """--criterion mc_elbo"""
