"""Responses of several systems to the same contexts, several latents each, side by side."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fairseq_latent.symbols import EOT, EOU

from .response_files import Generation


@dataclass(frozen=True)
class Answers:
    """One system's responses to one context: each different one with how often it came, in the order of latents."""

    system: str
    responses: tuple[tuple[str, int], ...]

    @property
    def total(self) -> int:
        """Latents, and so responses."""
        return sum(count for _, count in self.responses)


@dataclass(frozen=True)
class Dialogue:
    """A context as (speaker, words) turns, who answers, the reference and the systems' answers.

    profile: what A says of himself elsewhere, which nobody who answers reads; empty where it is not known.
    """

    id: int
    turns: tuple[tuple[str, str], ...]
    reference: str
    answers: tuple[Answers, ...]
    profile: str = ""


def foreign_context(generations: Sequence[Generation], test: Sequence[Generation]) -> str | None:
    """What keeps samples from being answers to the first contexts of the test set; None if they are."""
    if len(generations) > len(test):
        return f"{len(generations)} contexts, the test set has {len(test)}"
    for ours, theirs in zip(generations, test, strict=False):
        if ours.source is None or ours.source != theirs.source:
            return f"context {ours.id} is not that of the test set"
    return None


def spread_contexts(count: int, wanted: int) -> list[int]:
    """Ids at equal distances: nobody chose them by what the systems say."""
    if not count:
        return []
    wanted = min(count, wanted)
    return [place * count // wanted for place in range(wanted)]


def dialogue(samples: Mapping[str, Sequence[Generation]], example: int) -> Dialogue:
    """All systems' answers to one context."""
    first = next(iter(samples.values()))[example]
    answers = (Answers(name, tuple(Counter(rows[example].hypotheses).items())) for name, rows in samples.items())
    return Dialogue(example, turns(first.source or ""), first.reference or "", tuple(answers))


def turns(source: str) -> tuple[tuple[str, str], ...]:
    """Split a context into turns; two speakers take them in turn, and B answers: the last one is always A's."""
    parts = [part.replace(EOU, " / ").strip() for part in source.split(EOT)]
    return tuple(("A" if (len(parts) - place) % 2 else "B", part) for place, part in enumerate(parts))


def distinct_responses(generations: Sequence[Generation]) -> tuple[float, int]:
    """Mean number of different responses per context, and in how many contexts all are the same."""
    counts = [len(set(generation.hypotheses)) for generation in generations]
    return sum(counts) / len(counts), sum(count == 1 for count in counts)
