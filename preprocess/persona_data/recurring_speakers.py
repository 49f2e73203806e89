"""Speakers who come again: who speaks in which conversations, and from which of them a profile may come."""

from dataclasses import dataclass

import numpy as np

from ..splitting.collect import Survey
from ..splitting.examples import places


@dataclass(frozen=True)
class Sources:
    """Conversations, as digests in order, from which profiles may come; None: all of them."""

    training: np.ndarray | None = None

    def has(self, roots: np.ndarray) -> np.ndarray:
        """(N,) -> (N,), of conversations."""
        return np.ones(len(roots), bool) if self.training is None else places(self.training, roots) >= 0


@dataclass(frozen=True)
class Recurring:
    """Digests of the speakers who are in two conversations or more, and in how many sources each; `all` speakers."""

    all: int
    sources: dict[int, int]

    def others(self, speaker: int, is_source: bool) -> int | None:
        """In how many sources a speaker is, this conversation left out, or None where he is in no other conversation."""
        count = self.sources.get(speaker)
        return None if count is None else count - is_source


def recurring(found: Survey, history: Survey | None, sources: Sources) -> Recurring:
    """Of a file, and of the other one that profiles come from, if any."""
    said = _who_is_where(found if history is None else history)
    all_said = said if history is None else np.unique(np.concatenate((said, _who_is_where(found))), axis=0)
    speakers, counts = np.unique(all_said[:, 0], return_counts=True)
    usable = np.unique(said[sources.has(said[:, 1]), 0], return_counts=True)
    of = dict(zip(*(each.tolist() for each in usable), strict=True))
    return Recurring(len(speakers), {speaker: of.get(speaker, 0) for speaker in speakers[counts > 1].tolist()})


def _who_is_where(found: Survey) -> np.ndarray:
    """(N, 2): speaker and conversation, each pair once."""
    return np.unique(np.stack((found.speakers, np.repeat(found.roots, found.speaker_counts)), axis=1), axis=0)
