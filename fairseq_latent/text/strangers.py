"""Whose profile, context or response stands for a stranger's, and which dialogue each example of a split is of."""

from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import numbered_lines

NEAREST = 8  # places on either side, in the order of lengths, that a stranger of like length is first drawn from


def read_dialogues(path: str | Path, count: int) -> list[str]:
    """The dialogue of each of `count` examples, from a file that has `conversation:turn` a line."""
    names = []
    for number, line in numbered_lines(path):
        name, colon, turn = line.strip().rpartition(":")
        if not (name and colon and turn.isdecimal()):
            raise InputError(f"{path}: line {number}: not conversation:turn; remedy: DATA.text/test.ids")
        names.append(name)
    if len(names) != count:
        raise InputError(f"{path}: {len(names)} ids of {count} contexts; remedy: the ids of the same test set")
    return names


def strangers(
    pool: Sequence[frozenset[Hashable]],
    avoid: Sequence[frozenset[Hashable]],
    dialogues: Sequence[str] | None,
    seed: int,
) -> list[int] | None:
    """Of each example, the example whose profile stands for a stranger's; None if there is an example without one.

    Profiles are sets of sentences. A stranger's is of another dialogue (where these are known) and has no sentence of
    those to `avoid`: many profiles of a corpus are one person's, a sentence more or less. The examples of a dialogue that
    avoid the same get the same stranger.
    """
    found: dict[tuple, int | None] = {}
    rows: list[int] = []
    for row, own in enumerate(avoid):
        key = (dialogues[row] if dialogues is not None else None, own)
        if key not in found:
            order = np.random.default_rng((seed, len(found))).permutation(len(pool))
            found[key] = next((int(at) for at in order if _fits(at, pool, own, dialogues, row)), None)
        stranger = found[key]
        if stranger is None:
            return None
        rows.append(stranger)
    return rows


def other_contexts(
    contexts: Sequence[Sequence[Hashable]],
    responses: Sequence[Hashable] | None,
    dialogues: Sequence[str] | None,
    lengths: Sequence[int],
    seed: int,
) -> list[int | None]:
    """Of each example, the example whose context stands for a stranger's, of like length; None where there is none.

    contexts: their turns. A stranger's context is of another dialogue and not the same, and its response (if they are given)
    is another one. If `dialogues` are unknown, it shares no turn with the own one and does not hold the response, as the
    contexts of one dialogue do. It is drawn from the 16 that are nearest in the order of `lengths`; if none of them fits,
    from the 32 nearest, and so on.
    """
    parts = [frozenset(filter(None, turns if dialogues is None else [tuple(turns)] * any(turns))) for turns in contexts]
    pool, avoid = parts, parts
    if responses is not None:
        answered = [frozenset([("response", response)]) for response in responses]
        pool = [own and own | answer for own, answer in zip(parts, answered, strict=True)]
        avoid = [own | answer | {text} for own, answer, text in zip(parts, answered, responses, strict=True)]
    by_length = np.argsort(np.asarray(lengths), kind="stable")
    place = np.empty_like(by_length)
    place[by_length] = np.arange(len(by_length))
    return [
        next(
            (
                at
                for at in _nearest(by_length, int(place[row]), np.random.default_rng((seed, row)))
                if _fits(at, pool, avoid[row], dialogues, row)
            ),
            None,
        )
        for row in range(len(contexts))
    ]


def _nearest(order: np.ndarray, place: int, generator: np.random.Generator) -> Iterator[int]:
    """All of `order` but what is at `place`: what is near in random order, then what is farther away."""
    low, high, width = place, place + 1, NEAREST
    while low > 0 or high < len(order):
        wider_low, wider_high = max(0, place - width), min(len(order), place + 1 + width)
        ring = np.concatenate([order[wider_low:low], order[high:wider_high]])
        yield from generator.permutation(ring).tolist()
        low, high, width = wider_low, wider_high, 2 * width


def _fits(at: int, pool: Sequence[frozenset], own: frozenset, dialogues: Sequence[str] | None, row: int) -> bool:
    other_dialogue = dialogues is None or dialogues[at] != dialogues[row]
    return bool(pool[at]) and other_dialogue and own.isdisjoint(pool[at])
