"""How well what somebody says matches persona sentences: the arithmetic of P²BOT's receiver (Liu et al., 2020; ACL).

Encodings come with masks, true where an utterance or a sentence is real. Everything is float32 or wider, and no padding
changes a value.
"""

import math

import torch
from torch import Tensor

WEIGHT_STEP, MOST_WEIGHT = 0.1, 1.5  # of the attention, as the authors' code anneals it


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """(..., L, D), (..., L) -> (..., D): the mean over real tokens; zeros where there are none."""
    weights = mask.to(states).unsqueeze(-1)
    return (states * weights).sum(-2) / weights.sum(-2).clamp(min=1)


def scale_of(dimensions: int) -> int:
    """The integer part of sqrt(D), by which dot products are divided: 27 of 768."""
    return math.isqrt(dimensions)


def score_grid(utterances: Tensor, real: Tensor, personas: Tensor, persona_real: Tensor) -> Tensor:
    """(B, U, D), (B, U), (B, C, P, D), (B, C, P) -> (B, C, U, P): dot / int(sqrt(D)), 0 where either is padding."""
    grid = torch.einsum("bud,bcpd->bcup", utterances.float(), personas.float()) / scale_of(utterances.size(-1))
    return grid * (real[:, None, :, None] & persona_real[:, :, None, :])


def attention_weight(examples: int, step: int) -> float:
    """How sharp the attention is after so many training examples, the present ones included: flat first, sharper later."""
    return min((examples // step + 1) * WEIGHT_STEP, MOST_WEIGHT)


def attention_over_sentences(grid: Tensor, real: Tensor, persona_real: Tensor, weight: float) -> Tensor:
    """(B, C, U, P), (B, U), (B, C, P) -> (B, C, U, P): each real utterance's softmax over a candidate's real sentences."""
    scores = (grid * weight).masked_fill(~persona_real[:, :, None, :], -math.inf)
    return scores.softmax(-1) * real[:, None, :, None]


def candidate_scores(grid: Tensor, real: Tensor, persona_real: Tensor, weight: float) -> Tensor:
    """(B, C, U, P) -> (B, C): each utterance's scores, weighted by its attention, summed over sentences and utterances."""
    return (attention_over_sentences(grid, real, persona_real, weight) * grid).sum((-2, -1))


def margin_loss(scores: Tensor, gold: Tensor, margin: float) -> Tensor:
    """(B, C), (B,) -> (B,): the multi-class margin loss, the sum over wrong candidates divided by C."""
    of_gold = scores.gather(1, gold.unsqueeze(1))
    excess = (margin - of_gold + scores).clamp(min=0).scatter(1, gold.unsqueeze(1), 0.0)
    return excess.sum(1) / scores.size(1)


def sparsity(grid: Tensor, real: Tensor) -> Tensor:
    """(B, C, U, P), (B, U) -> (B, C): the sum of |score| per real utterance."""
    return grid.abs().sum((-2, -1)) / real.sum(1, keepdim=True).clamp(min=1)


def gold_wins(scores: Tensor, gold: Tensor) -> Tensor:
    """(B, C), (B,) -> (B,) bool: Hits@1, where a tie counts against the gold candidate."""
    others = scores.scatter(1, gold.unsqueeze(1), -math.inf)
    return scores.gather(1, gold.unsqueeze(1)).squeeze(1) > others.max(1).values


def persona_score(utterances: Tensor, persona: Tensor) -> Tensor:
    """(..., D), (P, D) -> (...): the best of the persona's sentences, without attention, as self-play rewards it."""
    return (utterances.float() @ persona.float().T).amax(-1) / scale_of(utterances.size(-1))


def in_order_of(ids: Tensor, others: Tensor) -> Tensor:
    """(B,), (B,) -> (B,): where each of `ids` stands in `others`, the same numbers in another order."""
    return others.argsort()[ids.argsort().argsort()]
