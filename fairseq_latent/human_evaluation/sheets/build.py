"""Makes a study of selected material: merges equal responses, assigns raters, and names everything by random ids."""

import random
from itertools import combinations

from fairseq_latent.errors import InputError

from ..protocol import Protocol
from ..study import Judged, Study, identity
from .assignment import balanced, new_id, ways
from .page import page
from .selection import Material
from .spreadsheet import sheet


def build(
    material: Material,
    protocol: Protocol,
    language: str,
    raters: int,
    per_item: int | None = None,
    repeat: float = 0.0,
    checks: int = 0,
    seed: int = 1,
) -> Study:
    """The study; each context is judged by `per_item` raters (default: all).

    InputError for flags that do not fit together, and where nothing is left to judge.
    """
    if language not in protocol.languages():
        raise InputError(
            f"--lang {language}: protocol {protocol.name} has no words in it; remedy: --lang "
            f"{' or '.join(protocol.languages())}, or [criteria.{language}] in a protocol of your own"
        )
    each = raters if per_item is None else per_item
    if each > raters:
        raise InputError(f"--per-item {each}, but --raters {raters}; remedy: at most as many")
    draw = random.Random(f"{seed}:study")
    judged, equal = _pairs(material, draw) if protocol.pairwise else (_responses(material, draw), [])
    if not judged:
        raise InputError("all responses are equal, so there is nothing to compare; remedy: other systems")
    contexts = balanced(len(material.contexts), raters, each, draw)
    names = [f"r{number}" for number in range(1, raters + 1)]
    found = ways(judged, contexts, seed, repeat, checks, language)
    texts = [text for texts in material.responses for text in texts]
    settings = f"raters:{raters}|per-item:{each}|repeat:{repeat}|attention:{checks}|seed:{seed}"
    return Study(
        id=identity(protocol, material.contexts, texts, language, settings),
        protocol=protocol,
        language=language,
        systems=material.systems,
        contexts=material.contexts,
        judged=tuple(judged),
        raters=dict(zip(names, found, strict=True)),
        assigned={name: tuple(own) for name, own in zip(names, contexts, strict=True)},
        equal=tuple(equal),
        per_item=each,
        signature=f"{protocol.name}|contexts:{len(material.contexts)}|{settings}",
    )


def _responses(material: Material, draw: random.Random) -> list[Judged]:
    """Equal responses to a context are one."""
    found: list[Judged] = []
    used: set[str] = set()
    for context in range(len(material.contexts)):
        for text, systems in _same(material, context).items():
            found.append(Judged(new_id(draw, used), context, (text,), (tuple(systems),)))
    return found


def _pairs(material: Material, draw: random.Random) -> tuple[list[Judged], list[tuple[int, str, str]]]:
    """Each two different responses to a context once; equal ones are not compared."""
    found: list[Judged] = []
    equal: list[tuple[int, str, str]] = []
    used: set[str] = set()
    for context in range(len(material.contexts)):
        same = _same(material, context)
        for (one, systems), (two, others) in combinations(same.items(), 2):
            found.append(Judged(new_id(draw, used), context, (one, two), (tuple(systems), tuple(others))))
        equal += [(context, *pair) for systems in same.values() for pair in combinations(systems, 2)]
    return found, equal


def _same(material: Material, context: int) -> dict[str, list[str]]:
    """Each different response to a context, and the systems that gave it."""
    found: dict[str, list[str]] = {}
    for system, texts in zip(material.systems, material.responses, strict=True):
        found.setdefault(texts[context], []).append(system)
    return found


def files(study: Study) -> dict[str, str]:
    """A page and a sheet for each rater, by file name."""
    found = {}
    for rater in study.raters:
        found[f"rate.{rater}.html"] = page(study, rater)
        found[f"sheet.{rater}.tsv"] = sheet(study, rater)
    return found


def described(study: Study) -> str:
    """The study in one line."""
    merged = sum(len(names) - 1 for each in study.judged for names in each.systems)
    merged = len(study.equal) if study.protocol.pairwise else merged
    loads = sorted(len(tasks) for tasks in study.raters.values())
    what = "pairs" if study.protocol.pairwise else "responses"
    equal = f", {merged} more are equal to another system's" if merged else ""
    load = str(loads[0]) if loads[0] == loads[-1] else f"{loads[0]} to {loads[-1]}"
    return (
        f"study {study.id}: {len(study.contexts)} contexts, {len(study.systems)} systems, {len(study.judged)} {what} to "
        f"judge{equal}; {len(study.raters)} raters, {study.per_item} per context, {load} items each"
    )
