"""All systems under some conventions, in one table: a line per convention and metric, a column per system."""

import json
from collections.abc import Sequence

from fairseq_latent.text.word_tokenizers import tokenizer

from ...tables import Column, Value, render
from ..score import System
from .rules import CONVENTIONS, Number


def under_conventions(
    systems: Sequence[System], names: Sequence[str], language: str
) -> dict[str, dict[str, list[Number]]]:
    """Convention -> system -> numbers, of the first response to each context; people, as `Reference`, without BLEU."""
    words = tokenizer(language)
    references = systems[0].references
    texts = {system.name: [each.hypotheses[0] for each in system.generations] for system in systems}
    found: dict[str, dict[str, list[Number]]] = {}
    for name in names:
        rule = CONVENTIONS[name].measure
        people = {} if references is None else {"Reference": rule([of[0] for of in references], None, words)}
        found[name] = people | {system: rule(lines, references, words) for system, lines in texts.items()}
    return found


def as_table(found: dict[str, dict[str, list[Number]]], style: str) -> str:
    """The table, and below it where each convention is from and how each number was made."""
    systems = list(dict.fromkeys(system for of in found.values() for system in of))
    rows: list[list[Value]] = []
    notes = []
    for convention, of_systems in found.items():
        notes.append(f"{convention}: {CONVENTIONS[convention].source}")
        numbers = {system: {each.name: each for each in of} for system, of in of_systems.items()}
        for name in dict.fromkeys(name for of in numbers.values() for name in of):
            there = {system: of[name] for system, of in numbers.items() if name in of}
            rows.append([convention, name, *(_shown(there.get(system)) for system in systems)])
            notes.append(f"{convention} {name}: {next(iter(there.values())).signature}")
    columns = [Column("convention"), Column("metric"), *map(Column, systems)]
    prefix = {"latex": "% ", "markdown": "- "}.get(style, "")
    return "\n".join([render(columns, rows, style), "", *(prefix + note for note in dict.fromkeys(notes))])


def as_json(found: dict[str, dict[str, list[Number]]]) -> str:
    """For programs: {"conventions": {convention: {system: [number]}}}."""
    plain = {
        name: {system: [vars(each) for each in of] for system, of in systems.items()} for name, systems in found.items()
    }
    return json.dumps({"conventions": plain}, ensure_ascii=False, indent=2)


def _shown(number: Number | None) -> str | None:
    return None if number is None else f"{number.value:.{number.decimals}f}"
