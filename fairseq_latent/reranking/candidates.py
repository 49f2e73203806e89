"""What is reranked, and how decoded hypotheses are put into the order of their scores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

DECIMALS = 5


@dataclass(frozen=True)
class Candidates:
    """Responses to one context, whose ids (S,) have their end; reference: the data's, None where there is none."""

    context: Tensor
    context_text: str
    texts: tuple[str, ...]
    reference: str | None = None


class Reranker(Protocol):
    """Scores candidates; the higher, the better."""

    def __call__(self, batch: Sequence[Candidates]) -> list[list[float]]:
        """Of each context the scores of its candidates, in their order."""


def ranked(
    hypotheses: Sequence[Sequence[dict[str, Any]]], scores: Sequence[Sequence[float]]
) -> list[list[dict[str, Any]]]:
    """Each context's hypotheses, the best first, equals in the order in which they were decoded (`candidate`).

    Scores are rounded, so that what another batch does to their last digits changes no order. fairseq-generate prints them
    divided by ln 2: they are multiplied here, so that it prints the scores themselves.
    """
    found = []
    for row, of_row in zip(hypotheses, scores, strict=True):
        rounded = [round(score, DECIMALS) for score in of_row]
        order = sorted(range(len(row)), key=lambda place: -rounded[place])
        found.append([{**row[place], "score": rounded[place] * math.log(2), "candidate": place} for place in order])
    return found
