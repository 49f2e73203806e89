"""Profiles as the perception variable sees them: for numbers and for pictures."""

from dataclasses import dataclass

import numpy as np

from ..metrics.purity import Purity


@dataclass(frozen=True)
class Profile:
    """One person's: `example` is the first line of the split that has it."""

    example: int
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        """All sentences."""
        return " ".join(self.sentences)


@dataclass(frozen=True)
class Perception:
    """Profiles with their categories (None: of none), places (N, 2) on the plane, and the purity of those with one.

    untrained: the purities of recognition networks with random weights.
    """

    profiles: tuple[Profile, ...]
    categories: tuple[str | None, ...]
    points: np.ndarray
    purity: Purity
    untrained: tuple[float, ...]
    names: tuple[str, ...]
    signature: str

    def counts(self) -> dict[str, int]:
        """Profiles of each category, in the order of the list."""
        return {name: self.categories.count(name) for name in self.names}
