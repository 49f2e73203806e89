"""Responses of several systems to the same contexts, several latents each, side by side."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fairseq_latent.errors import InputError
from fairseq_latent.symbols import EOT, EOU

from .io import Generation


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
    """A context as (speaker, words) turns, who answers, the reference and the systems' answers."""

    id: int
    turns: tuple[tuple[str, str], ...]
    reference: str
    answers: tuple[Answers, ...]


def check_contexts(samples: Mapping[str, Sequence[Generation]], test: Sequence[Generation], file: str) -> None:
    """All systems must answer the first contexts of the test set, so that an id means one context everywhere."""
    sizes = {name: len(generations) for name, generations in samples.items()}
    if len(set(sizes.values())) > 1:
        counts = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise InputError(f"{file}: contexts differ in number ({counts}); remedy: generate all on the same split")
    for name, generations in samples.items():
        for ours, theirs in zip(generations, test, strict=False):
            if ours.source is None or ours.source != theirs.source:
                raise InputError(
                    f"{file} of {name}: context {ours.id} is not that of the test set; "
                    "remedy: test1 must be the first lines of test, then generate again"
                )
        if len(generations) > len(test):
            raise InputError(f"{file} of {name} has more contexts than the test set; remedy: generate on test1")


def spread_contexts(count: int, wanted: int) -> list[int]:
    """Ids at equal distances: nobody chose them by what the systems say."""
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
    """Mean number of different responses a context, and in how many contexts all are the same."""
    counts = [len(set(generation.hypotheses)) for generation in generations]
    return sum(counts) / len(counts), sum(count == 1 for count in counts)
