"""What a study shows: reads responses, contexts and profiles, and selects contexts by seed or by a hand-picked list."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fairseq_latent.errors import InputError, printable
from fairseq_latent.evaluation.metrics.dialogue_subset import read_dialogues
from fairseq_latent.evaluation.runs.response_files import (
    Generation,
    named_paths,
    numbered_lines,
    read_generations,
    read_lines,
)
from fairseq_latent.symbols import EOT, EOU, UNK

from ..protocol import Protocol
from ..study import Context

SPACES = re.compile(r"\s+")
FEWEST_RESPONSES = 2  # of systems, where two are compared


@dataclass(frozen=True)
class System:
    """A name, and what it answered."""

    name: str
    file: str
    generations: list[Generation]

    def lines(self, field: str) -> list[str] | None:
        """The S- or T- lines, if there are any."""
        found = [getattr(generation, field) for generation in self.generations]
        return None if None in found else found


@dataclass(frozen=True)
class Material:
    """Everything that can be shown. responses: of each system, one per context. dialogues: the dialogue of each context."""

    systems: tuple[str, ...]
    contexts: tuple[Context, ...]
    responses: tuple[tuple[str, ...], ...]
    dialogues: tuple[str, ...] | None

    def chosen(self, places: Sequence[int]) -> "Material":
        """Some of the contexts, in this order."""
        return replace(
            self,
            contexts=tuple(self.contexts[place] for place in places),
            responses=tuple(tuple(texts[place] for place in places) for texts in self.responses),
            dialogues=None if self.dialogues is None else tuple(self.dialogues[place] for place in places),
        )


def read_material(
    specifications: Sequence[str],
    protocol: Protocol,
    contexts: str | None = None,
    profiles: str | None = None,
    dialogues: str | None = None,
) -> Material:
    """Read each NAME=FILE and what is shown with it; all systems must answer the same contexts.

    contexts, profiles: files with one per line. Without `contexts` they are the S- lines of fairseq-generate.
    """
    systems = [System(name, file, read_generations(file)) for name, file in named_paths(specifications)]
    _check_alike(systems)
    if protocol.pairwise and len(systems) < FEWEST_RESPONSES:
        raise InputError("a preference compares two systems, and there is one; remedy: a second NAME=FILE")
    count = len(systems[0].generations)
    shown = _contexts(systems, contexts, count)
    sentences: list[tuple[str, ...]] = [()] * count
    if protocol.shows_profile:
        if profiles is None:
            raise InputError(
                f"protocol {protocol.name} shows the partner's profile; remedy: --profiles DATA.text/test.partner"
            )
        sentences = _profiles(profiles, count)
    names = None if dialogues is None else tuple(read_dialogues(dialogues, count))
    ids = [str(number) for number in range(count)]
    if dialogues is not None:
        ids = [line.strip() for _, line in numbered_lines(dialogues)]
    references = next((found for system in systems if (found := system.lines("reference"))), [None] * count)
    return Material(
        systems=tuple(system.name for system in systems),
        contexts=tuple(Context(*each) for each in zip(ids, shown, sentences, references, strict=True)),
        responses=tuple(
            tuple(_plain(generation.hypotheses[0]) for generation in system.generations) for system in systems
        ),
        dialogues=names,
    )


def select(material: Material, count: int | None, protocol: Protocol, seed: int, ids: str | None = None) -> Material:
    """`count` contexts (default: the protocol's number) by seed, one per dialogue where these are known; or those of a file.

    The file `ids` has one id per line: the number of H-NUMBER, or conversation:turn of the file of dialogues.
    """
    if ids is not None:
        return material.chosen(_hand_picked(material, ids, count))
    wanted = protocol.items if count is None else count
    draw = random.Random(f"{seed}:contexts")
    places = list(range(len(material.contexts)))
    what = "contexts"
    if material.dialogues is not None:
        what = "dialogues"
        members: dict[str, list[int]] = {}
        for place, name in enumerate(material.dialogues):
            members.setdefault(name, []).append(place)
        places = [draw.choice(each) for each in members.values()]
    if len(places) < wanted:
        asked = f"--items {wanted}" if count is not None else f"{wanted}, as protocol {protocol.name} has"
        raise InputError(
            f"there are {len(places)} {what}, fewer than {asked}; remedy: --items {len(places)}, or a larger set"
        )
    return material.chosen(sorted(draw.sample(places, wanted)))


def _hand_picked(material: Material, file: str, count: int | None) -> list[int]:
    known = {context.id: place for place, context in enumerate(material.contexts)}
    numbers = {str(place): place for place in range(len(material.contexts))}
    found: list[int] = []
    for number, line in numbered_lines(file):
        name = line.strip()
        if not name:
            continue
        place = known.get(name, numbers.get(name))
        if place is None:
            raise InputError(
                f"{file}: line {number}: no context has the id {name[:80]!r}; remedy: the number of its H- line, from 0 to "
                f"{len(material.contexts) - 1}, or conversation:turn with --dialogues"
            )
        if place in found:
            raise InputError(f"{file}: line {number}: the id {name[:80]!r} stands twice; remedy: each context once")
        found.append(place)
    if not found:
        raise InputError(f"{file}: no ids; remedy: one per line")
    if count is not None and count != len(found):
        raise InputError(f"{file}: {len(found)} ids, but --items {count}; remedy: --ids alone")
    return found


def _profiles(file: str, count: int) -> list[tuple[str, ...]]:
    lines = read_lines(file)
    if len(lines) != count:
        raise InputError(
            f"{file}: {len(lines)} profiles of {count} contexts; remedy: profiles of the same test set, one per line, "
            "e.g. DATA.text/test.partner"
        )
    if not any(map(str.strip, lines)):
        raise InputError(f"{file}: all {count} profiles are blank; remedy: data of people who describe themselves")
    return [_parts(line, EOT) for line in lines]


def _contexts(systems: Sequence[System], file: str | None, count: int) -> list[tuple[str, ...]]:
    """The turns of each context, from the file or the S- lines."""
    sources = next((found for system in systems if (found := system.lines("source")) is not None), None)
    if file is None:
        if sources is None:
            raise InputError("the responses come without contexts (S- lines); remedy: --contexts DATA.text/test.src")
        return [_turns(source) for source in sources]
    lines = [line for _, line in numbered_lines(file)]
    if len(lines) != count:
        raise InputError(
            f"{file}: {len(lines)} contexts, but {systems[0].name} has {count} responses; remedy: the contexts of the same "
            "test set, one per line"
        )
    for system in systems:
        if (own := system.lines("source")) is not None:
            _check_answers(system, own, lines, file)
    return [_turns(line) for line in lines]


def _check_alike(systems: Sequence[System]) -> None:
    """All answer as many contexts, and the same ones, as far as their files tell."""
    first = systems[0]
    for system in systems[1:]:
        pair = f"{first.name} ({first.file}) and {system.name} ({system.file})"
        if len(system.generations) != len(first.generations):
            raise InputError(
                f"{pair} answer {len(first.generations)} and {len(system.generations)} contexts; remedy: responses to "
                "the same test set"
            )
    for field in ("source", "reference"):
        known = [(system, lines) for system in systems if (lines := system.lines(field)) is not None]
        for system, lines in known[1:]:
            _check_equal(known[0], (system, lines), "contexts" if field == "source" else "references")


def _check_equal(first: tuple[System, list[str]], other: tuple[System, list[str]], what: str) -> None:
    """Dictionaries may differ, so lines with unknown words are left out."""
    for place, (one, two) in enumerate(zip(first[1], other[1], strict=True)):
        if UNK not in one + two and _squeezed(one) != _squeezed(two):
            raise InputError(
                f"{first[0].name} ({first[0].file}) and {other[0].name} ({other[0].file}) have different {what} at id "
                f"{place}; remedy: responses to the same test set, in the same order"
            )


def _check_answers(system: System, sources: Sequence[str], lines: Sequence[str], file: str) -> None:
    """An S- line may be the newest part of its context, and have unknown words; most of them must fit."""
    fits = [UNK in one or _squeezed(two).endswith(_squeezed(one)) for one, two in zip(sources, lines, strict=True)]
    if 2 * sum(fits) <= len(fits):
        first = fits.index(False)
        raise InputError(
            f"{system.name} ({system.file}) answers other contexts than {file}: id {first} is the first of "
            f"{len(fits) - sum(fits)}; remedy: the contexts that it answered, in the same order"
        )


def _squeezed(text: str) -> str:
    return SPACES.sub("", text).casefold()


def _turns(line: str) -> tuple[str, ...]:
    return _parts(line, EOT) or ("",)


def _parts(line: str, symbol: str) -> tuple[str, ...]:
    parts = ("\n".join(filter(None, map(_plain, part.split(EOU)))) for part in line.split(symbol))
    return tuple(filter(None, parts))


def _plain(text: str) -> str:
    """Text for people: control characters and turned writing directions written out, spaces at neither end."""
    return printable(text.strip())
