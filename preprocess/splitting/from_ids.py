"""A split again from its ids: which pairs of a corpus are on which side, where only ids may be passed on."""

import json
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, NoReturn

import numpy as np

from fairseq_latent.errors import InputError
from fairseq_latent.files import written_together

from ..lines import check_parallel, read_lines
from ..parallel import map_blocks
from .collect import survey
from .examples import Pair, digest, numbers, pairs, places, trusted
from .split_files import SPLITS, names_of, refuse_leftovers, state, unchanged, write_responses


@dataclass(frozen=True)
class ListedPairs:
    """The pairs of a folder of ids: digests (N,) in order; of each the side, the line, and the place in the line.

    `blank` counts the lines of a side that name nothing; `width` is the number of ids in the longest context.
    """

    form: str
    digests: np.ndarray
    sides: np.ndarray
    lines: np.ndarray
    slots: np.ndarray
    blank: Counter[str]
    width: int

    @property
    def references(self) -> int:
        """Responses a context, at most."""
        return int(self.slots[self.sides == SPLITS.index("test")].max(initial=0)) + 1


def read_ids(folder: Path) -> ListedPairs:
    """Read DIR/train|valid|test.turns, a line per context, or .ids for the lines of turns without ids, or for all of them.

    InputError where a pair stands there twice.
    """
    form = next(
        (form for form in ("turns", "ids") if any((folder / f"{side}.{form}").exists() for side in SPLITS)), None
    )
    if form is None:
        raise InputError(f"--ids {folder}: no train|valid|test.turns or .ids there; remedy: the folder of a split")
    digests, sides, lines, slots = bytearray(), array("B"), array("L"), array("L")
    blank, width = Counter(), 1
    for code, side in enumerate(SPLITS):
        for number, (turns, ids) in enumerate(_both(folder, side), 1):
            blank[side] += not (turns or ids)
            try:
                keys = _keys(turns, ids)
            except InputError as error:
                raise InputError(f"{folder / side}.turns:{number}: {error}") from None
            width = max(width, turns.partition("\t")[0].count(" ") + 1)
            for slot, key in enumerate(keys):
                digests += digest(key)
                sides.append(code)
                lines.append(number)
                slots.append(slot)
    if not sides:
        raise InputError(f"--ids {folder}: the files of ids are empty; remedy: those of another split")
    values = numbers([digests])
    order = np.argsort(values, kind="stable")
    arrays = [np.asarray(values)[order] for values in (values, sides, lines, slots)]
    wanted = ListedPairs(form, *arrays, blank, width)
    twice = np.flatnonzero(wanted.digests[1:] == wanted.digests[:-1])
    if len(twice):
        _refuse_twice(folder, wanted, int(twice[0]))
    return wanted


def _both(folder: Path, side: str) -> Iterator[tuple[str, str]]:
    """The lines of .turns and .ids, side by side; "" for those of a file that is not there."""
    paths = [path for path in (folder / f"{side}.turns", folder / f"{side}.ids") if path.exists()]
    if len(paths) == 2:
        check_parallel(paths)
        yield from zip(*map(read_lines, paths), strict=True)
    for path in paths if len(paths) == 1 else ():
        yield from ((line, "") if path.suffix == ".turns" else ("", line) for line in read_lines(path))


def _keys(turns: str, ids: str) -> list[str]:
    """What names each pair of a line."""
    if not turns:
        return ids.split("\t") if ids else []
    context, *responses = turns.split("\t")
    if not (context and responses and all(responses)):
        raise InputError(
            "not `ids of the context<TAB>id of the response`; remedy: the file as preprocess.split wrote it"
        )
    return [f"{context}\t{response}" for response in responses]


def _refuse_twice(folder: Path, wanted: ListedPairs, index: int) -> NoReturn:
    (one, at), (other, again) = (
        (f"{folder / SPLITS[wanted.sides[place]]}.{wanted.form}", wanted.lines[place]) for place in (index, index + 1)
    )
    raise InputError(
        f"{other}:{again}: this pair stands in {one}:{at} too; "
        "remedy: ids that are unique in the whole corpus, each pair on one side"
    )


def rebuild(path: Path, out: Path, folder: Path, context_turns: int | None, workers: int, block_bytes: int) -> dict:
    """Write the pairs that `folder` names and `path` has; returns what is written to split.json.

    The lines of valid and test come in the order of the ids, those of train in that of the conversations.
    """
    if out.resolve() == folder.resolve():
        raise InputError(f"--out {out} would overwrite --ids; remedy: another folder")
    wanted = read_ids(folder)
    if wanted.form == "turns" and context_turns not in (None, wanted.width):
        raise InputError(
            f"--context-turns {context_turns}, but the contexts in {folder} have up to {wanted.width} turns; "
            "remedy: leave it out"
        )
    turns = wanted.width if wanted.form == "turns" else context_turns or 1
    before = state(path)
    with_turns = survey(path, 1, False, False, workers, block_bytes).has_ids
    sides = [side for code, side in enumerate(SPLITS) if code in wanted.sides]
    names = names_of(sides, with_turns, wanted.references)
    refuse_leftovers(out, names)
    look = partial(_find, wanted=wanted.digests, form=wanted.form, context_turns=turns)
    with written_together((out / name for name in (*names, "split.json")), "wb") as (*opened, summary):
        with unchanged(path, before), closing(map_blocks(look, path, workers, block_bytes, "find")) as results:
            hits = (hit for result in results for hit in result)
            seen, written = _write(hits, wanted, dict(zip(names, opened, strict=True)))
        if not seen.any():
            raise InputError(
                f"{path} has none of the {len(seen):,} pairs that {folder} names; "
                "remedy: the same corpus, cleaned in the same way, with ids"
            )
        report = {"version": 1, "input": path.name, "context_turns": turns, "ids": wanted.form}
        report["splits"] = {side: _count(wanted, seen, side, written) for side in sides}
        summary.write(json.dumps(report, indent=2).encode() + b"\n")
    return report


def _write(
    hits: Iterable[tuple[int, Pair]], wanted: ListedPairs, files: dict[str, IO[bytes]]
) -> tuple[np.ndarray, Counter[str]]:
    """Write what was found, in this order or that of the ids; which of `wanted` that is, and the lines of each side."""
    seen = np.zeros(len(wanted.digests), bool)
    held: dict[str, dict[int, dict[int, Pair]]] = {side: defaultdict(dict) for side in SPLITS[1:]}
    written: Counter[str] = Counter()
    for index, pair in hits:
        if seen[index]:  # branches of a thread begin with the same pairs
            continue
        seen[index] = True
        side = SPLITS[wanted.sides[index]]
        if side == "train":
            write_responses(files, side, [pair])
            written[side] += 1
        else:
            held[side][int(wanted.lines[index])][int(wanted.slots[index])] = pair
    for side, lines in held.items():
        for number in sorted(lines):
            write_responses(files, side, [pair for _, pair in sorted(lines[number].items())])
        written[side] = len(lines)
    return seen, written


def _find(first: int, data: bytes, wanted: np.ndarray, form: str, context_turns: int) -> list[tuple[int, Pair]]:
    """The pairs of a block that stand in `wanted`, each with its place there."""
    found = [pair for _, record in trusted(first, data) for pair in pairs(record, context_turns)]
    keys = numbers(digest((form == "turns" and pair.turns) or pair.id) for pair in found)
    indices = places(wanted, keys).tolist()
    return [(index, pair) for index, pair in zip(indices, found, strict=True) if index >= 0]


def _count(wanted: ListedPairs, seen: np.ndarray, side: str, written: Counter[str]) -> dict[str, int]:
    """Lines written, and ids found and missing; a line that names nothing misses one."""
    here = wanted.sides == SPLITS.index(side)
    found = int(np.sum(seen & here))
    return {"pairs": written[side], "found": found, "missing": int(np.sum(here)) - found + wanted.blank[side]}
