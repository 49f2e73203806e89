"""Criterion `bow_elbo`: the ELBO with a bag-of-words loss (Zhao et al., 2017), as Sato et al. (2021) have it."""

from dataclasses import dataclass, field

from fairseq.criterions import register_criterion

from ..ranges import AMOUNT
from .elbo import ELBOConfig, ELBOCriterion


@dataclass
class BowELBOConfig(ELBOConfig):
    bow_weight: float = field(default=1.0, metadata={"help": "weight of the bag-of-words loss", "range": AMOUNT})


@register_criterion("bow_elbo", dataclass=BowELBOConfig)
class BowELBOCriterion(ELBOCriterion):
    """--criterion bow_elbo"""
