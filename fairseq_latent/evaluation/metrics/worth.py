"""What a profile is worth: nats per response that it saves, beside a stranger's, with bootstrap intervals over dialogues.

Responses of one dialogue share its profiles and its topics, so that dialogues are resampled, with all their responses.
"""

from collections.abc import Hashable, Sequence

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


def strangers(
    pool: Sequence[frozenset[Hashable]],
    avoid: Sequence[frozenset[Hashable]],
    dialogues: Sequence[str] | None,
    seed: int,
) -> list[int] | None:
    """Of each example, the example whose profile stands for a stranger's; None if there is an example without one.

    Profiles are sets of sentences. A stranger's is of another dialogue (where these are known) and has no sentence of
    those to `avoid`: many profiles of a corpus are one person's, a sentence more or less. The examples of a dialogue that
    avoid the same get the same stranger.
    """
    found: dict[tuple, int | None] = {}
    rows = []
    for row, own in enumerate(avoid):
        key = (dialogues[row] if dialogues is not None else None, own)
        if key not in found:
            order = np.random.default_rng((seed, len(found))).permutation(len(pool))
            found[key] = next((int(at) for at in order if _fits(at, pool, own, dialogues, row)), None)
        rows.append(found[key])
    return None if None in rows else rows


def _fits(at: int, pool: Sequence[frozenset], own: frozenset, dialogues: Sequence[str] | None, row: int) -> bool:
    other_dialogue = dialogues is None or dialogues[at] != dialogues[row]
    return bool(pool[at]) and other_dialogue and own.isdisjoint(pool[at])
