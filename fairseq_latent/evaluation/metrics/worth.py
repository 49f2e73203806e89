"""What a profile, a context or a latent is worth: nats per response that it saves, beside another one's, with intervals.

Responses of one dialogue share its profiles and its topics, so that dialogues are resampled, with all their responses.
"""

from collections.abc import Sequence

import numpy as np

from ..tables import Estimate
from .bootstrap import Bootstrap, interval

RESAMPLES = 1000
FEWEST = 2  # dialogues that an interval needs


def worth(saved: np.ndarray, dialogues: Sequence[str] | None, seed: int = 1) -> Estimate:
    """The mean of `saved` (N,), nats per response, and its 95 % interval; without dialogues, or with one, no interval."""
    value = float(saved.mean())
    of_dialogue = np.unique(dialogues, return_inverse=True)[1] if dialogues is not None else np.zeros(len(saved), int)
    table = np.stack([np.bincount(of_dialogue, saved), np.bincount(of_dialogue)], axis=1).astype(np.float64)  # (D, 2)
    if len(table) < FEWEST:
        return Estimate(value)
    (sums,) = Bootstrap(RESAMPLES, seed).sums([table])
    return Estimate(value, interval(sums[:, 0] / sums[:, 1]))
