"""Criterion `podi_elbo`: the ELBO with posterior-discriminated regularisation (Cho et al., 2022)."""

from dataclasses import dataclass, field

from fairseq.criterions import register_criterion

from ..ranges import AMOUNT
from .elbo import ELBOConfig, ELBOCriterion


@dataclass
class PodiELBOConfig(ELBOConfig):
    podi_weight: float = field(default=1.0, metadata={"help": "weight of L_Po-di", "range": AMOUNT})


@register_criterion("podi_elbo", dataclass=PodiELBOConfig)
class PodiELBOCriterion(ELBOCriterion):
    """--criterion podi_elbo"""
