"""Responses of systems that were not trained here, as JSON Lines: `{"id", "responses": ["…", …], "system"?, "settings"?}`.

A line answers a context. Ids are those of the test set (its lines from 0, or what stands in its .ids file); without ids the
lines stand in its order. `settings` (a text or an object: how the responses were sampled) is the same in all lines.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairseq_latent.errors import InputError
from fairseq_latent.files import numbered_lines
from fairseq_latent.text.json_values import OTHER_FORM, loads, text

from .response_files import Generation

SUFFIX = ".jsonl"
FORM = 'remedy: {"id": "…", "responses": ["…"]} a line'


@dataclass(frozen=True)
class OutsideSystem:
    """What a file holds: a generation per context, in the order of the test set, and how they were sampled."""

    generations: tuple[Generation, ...]
    system: str | None = None
    settings: str | None = None


@dataclass(frozen=True)
class _Line:
    id: str | None
    responses: tuple[str, ...]
    system: str | None
    settings: str | None


def is_outside(path: str | Path) -> bool:
    """Whether a file is of this form, by its name."""
    return Path(path).suffix == SUFFIX


def read_outside(path: str | Path, ids: Sequence[str] | None = None) -> OutsideSystem:
    """All of a file; ids: those of the test set, in its order, None: its lines from 0.

    InputError for another form, for no responses, and for ids that are not the test set's, or not all of them.
    """
    lines = [_line(path, number, content) for number, content in numbered_lines(path) if content.strip()]
    if not lines:
        raise InputError(f"{path}: the file is empty; {FORM}")
    for name in ("system", "settings"):
        found = list(dict.fromkeys(getattr(line, name) for line in lines))
        if len(found) > 1:
            raise InputError(
                f"{path}: lines of different {name}: {found[0]!r:.60} and {found[1]!r:.60}; remedy: a file each"
            )
    sizes = {len(line.responses) for line in lines}
    if len(sizes) > 1:
        raise InputError(
            f"{path}: {min(sizes)} responses to one context, {max(sizes)} to another; remedy: as many to each"
        )
    if not any(response.strip() for line in lines for response in line.responses):
        raise InputError(f"{path}: all responses are blank; remedy: a system that answers")
    ordered = _in_order(path, lines, ids)
    generations = tuple(Generation(place, None, None, line.responses) for place, line in enumerate(ordered))
    return OutsideSystem(generations, lines[0].system, lines[0].settings)


def _line(path: str | Path, number: int, content: str) -> _Line:
    try:
        fields: Any = loads(content)
        responses = tuple(" ".join(text(each).split()) for each in fields["responses"])
        if isinstance(fields["responses"], str) or not isinstance(fields.get("id"), str | int | None):
            raise TypeError
        settings = fields.get("settings")
        if not isinstance(settings, str | None):
            settings = json.dumps(settings, ensure_ascii=False, sort_keys=True)
        system = fields.get("system")
        found = _Line(
            None if fields.get("id") is None else text(str(fields["id"])),
            responses,
            None if system is None else text(system),
            None if settings is None else text(settings),
        )
    except OTHER_FORM:
        raise InputError(f"{path}: line {number}: not of this form; {FORM}") from None
    if not responses:
        raise InputError(f"{path}: line {number}: no responses; remedy: one at least to each context")
    return found


def _in_order(path: str | Path, lines: Sequence[_Line], ids: Sequence[str] | None) -> Sequence[_Line]:
    """By id; by order where no line has one."""
    named = [line for line in lines if line.id is not None]
    if not named:
        return lines
    if len(named) < len(lines):
        raise InputError(f"{path}: {len(lines) - len(named)} of {len(lines)} lines have no id; remedy: all, or none")
    of_id = {str(line.id): line for line in lines}
    if len(of_id) < len(lines):
        twice = next(line.id for place, line in enumerate(lines) if of_id[str(line.id)] is not lines[place])
        raise InputError(f"{path}: id {twice!r:.60} stands twice; remedy: a line per context, all its responses in it")
    wanted = list(ids) if ids is not None else [str(place) for place in range(len(lines))]
    strange = next((name for name in of_id if name not in set(wanted)), None)
    if strange is not None:
        more = "" if ids is not None else ", lines from 0, or --ids FILE, DATA.text/test.ids"
        raise InputError(f"{path}: id {strange!r:.60} is not in the test set; remedy: ids of the test set{more}")
    missing = [name for name in wanted if name not in of_id]
    if missing:
        raise InputError(
            f"{path}: {len(missing)} of {len(wanted)} ids are missing (first: {missing[0]!r:.60}); remedy: responses to all "
            "contexts of the test set"
        )
    return [of_id[name] for name in wanted]
