"""Criterion `speculative_elbo`: the best of K latents is trained (speculative sampling, Sato et al., 2021)."""

from dataclasses import dataclass, field

from fairseq.criterions import register_criterion

from ..ranges import SAMPLES
from .elbo import ELBOConfig, ELBOCriterion


@dataclass
class SpeculativeELBOConfig(ELBOConfig):
    k: int = field(default=5, metadata={"help": "latent samples per example in training (K)", "range": SAMPLES})


@register_criterion("speculative_elbo", dataclass=SpeculativeELBOConfig)
class SpeculativeELBOCriterion(ELBOCriterion):
    """--criterion speculative_elbo"""
