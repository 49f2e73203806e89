"""The rewards of P²BOT's self-play (Liu et al., 2020; ACL), and the REINFORCE loss: tensors in, tensors out, no models.

B rollouts of one pair of personas, T turns of each agent. What both agents say in one rollout stands in the order of
speaking, (B, 2T); `interleave` and `of_agent` are the ways there and back.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

NAMES = ("coherence", "persona", "lm", "repetition")
NORM_EPSILON = 1e-3  # of the cosine
SCALE, SCALE_EPSILON = 2.0, 1e-6  # of the persona reward: it lies in [0, 2]


def interleave(first: Tensor, second: Tensor) -> Tensor:
    """(B, T, ...) of who speaks first, (B, T, ...) of the other -> (B, 2T, ...) in the order of speaking."""
    return torch.stack([first, second], dim=2).flatten(1, 2)


def of_agent(spoken: Tensor, speaks_first: bool) -> Tensor:
    """(B, 2T, ...) in the order of speaking -> (B, T, ...) of the agent who speaks first, or second."""
    return spoken[:, 0 if speaks_first else 1 :: 2]


def coherence(nup_logits: Tensor) -> Tensor:
    """(..., 2) -> (...): the probability that this is the next utterance (index 1) minus 1/2, in [-1/2, 1/2]."""
    return nup_logits.float().softmax(-1)[..., 1] - 0.5


def with_empty_ones_last(scores: Tensor, empty: Tensor, floor: float) -> Tensor:
    """(...), (...) bool -> (...): what says nothing has no score of its own: it gets the worst one, `floor` at most."""
    spoken = scores[~empty]
    worst = min(floor, spoken.min().item()) if spoken.numel() else floor
    return scores.masked_fill(empty, worst)


def discounted(scores: Tensor, discount: float) -> Tensor:
    """(B, 2T) -> (B, 2T): each utterance's persona score, plus `discount` times the value of what is said next.

    The next utterance is the partner's, scored against the partner's persona: the mutual part of the reward.
    """
    values, following = [], torch.zeros_like(scores[:, 0])
    for column in reversed(scores.unbind(1)):
        following = column + discount * following
        values.append(following)
    return torch.stack(values[::-1], dim=1)


def scaled(values: Tensor) -> Tensor:
    """(B, 2T) -> (B, 2T) in [0, 2]: least and largest are those of both agents in all rollouts."""
    least, largest = values.min(), values.max()
    return SCALE * (values - least) / (largest - least + SCALE_EPSILON)


def repetition(encodings: Tensor) -> Tensor:
    """(B, 2T, D) -> (B, 2T): the largest cosine with anything that either said before, at least 0."""
    encodings = encodings.float()
    norms = encodings.norm(dim=-1) + NORM_EPSILON
    cosines = encodings @ encodings.transpose(1, 2) / (norms.unsqueeze(2) * norms.unsqueeze(1))
    return cosines.tril(-1).clamp(min=0).amax(-1)


def total(parts: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """{name: (B, T)}, {name: weight} -> (B, T): the weighted sum; a part of weight 0 may be missing."""
    return sum(weights[name] * parts[name] for name in NAMES if weights[name])


def baseline(rewards: Tensor) -> Tensor:
    """(B, T) -> (T,): the mean over the rollouts at each turn."""
    return rewards.mean(0)


def advantage(rewards: Tensor) -> Tensor:
    """(B, T) -> (B, T): how much better than the rollouts' mean; of one rollout 0."""
    return rewards - baseline(rewards)


def normalised(log_probabilities: Tensor, token_counts: Tensor) -> Tensor:
    """(...), (...) -> (...): sums over an utterance's tokens, its end among them, per token."""
    return log_probabilities / token_counts.clamp(min=1)


def reinforce(normalised_log_probabilities: Tensor, advantages: Tensor) -> Tensor:
    """(...), (...) -> (...): REINFORCE's loss of each utterance (Williams, 1992); advantages have no gradient."""
    return -normalised_log_probabilities * advantages.detach()
