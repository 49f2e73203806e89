"""Aggressive training of the inference network (He et al., 2019; arXiv 1901.05534): when to go on and when to stop.

The posterior of a VAE lags behind the decoder in the first epochs, and collapses. While training is aggressive, each update
of the decoder is preceded by many of the encoder alone, and the encoder stays out of the decoder's update.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from .errors import InputError

Step = Callable[[], tuple[float, int]]  # one update of the encoder -> its loss, summed, in nats, and its words


@dataclass(frozen=True)
class InnerLoop:
    """The encoder's updates before one of the decoder: at most `max_steps`, looked at every `window` of them."""

    max_steps: int = 100
    window: int = 15

    def __post_init__(self):
        if self.window < 1 or self.max_steps < 1:
            raise InputError(
                f"--aggressive-steps {self.max_steps} --aggressive-window {self.window}: one step is the least; "
                "remedy: 100 and 15"
            )

    def run(self, step: Step) -> int:
        """Call `step` until a window's mean loss a word is no lower than that of the window before; returns the steps."""
        previous, loss, words = math.inf, 0.0, 0
        for count in range(1, self.max_steps + 1):
            nats, tokens = step()
            loss, words = loss + nats, words + tokens
            if count % self.window == 0:
                mean = loss / max(words, 1)
                if mean >= previous:
                    return count
                previous, loss, words = mean, 0.0, 0
        return self.max_steps


@dataclass
class AggressivePhase:
    """Whether training is still aggressive, and the mutual information (nats) of the last validation.

    It lasts for `limit` updates of the decoder at most; 0 is no limit.
    """

    limit: int = 0
    active: bool = True
    mutual_information: float | None = None

    def __post_init__(self):
        if self.limit < 0:
            raise InputError(f"--aggressive-updates {self.limit}; remedy: 0 for no limit, or a number of updates")

    def trained(self, updates: int) -> bool:
        """Take note of the decoder's updates; the last of `limit` ends the phase for good. Whether it did so now."""
        ended = self.active and 0 < self.limit <= updates
        self.active = self.active and not ended
        return ended

    def validated(self, mutual_information: float) -> bool:
        """Take note of a validation; a fall of the mutual information ends the phase for good. Whether it did so now."""
        fell = self.mutual_information is not None and mutual_information < self.mutual_information
        ended = self.active and fell
        self.active = self.active and not fell
        self.mutual_information = mutual_information
        return ended

    def state_dict(self) -> dict:
        """Plain values, for a checkpoint: the limit is the training's."""
        return {"active": self.active, "mutual_information": self.mutual_information}

    @classmethod
    def from_state(cls, state: dict, limit: int = 0) -> "AggressivePhase":
        """What `state_dict` gave."""
        return cls(limit, **state)
