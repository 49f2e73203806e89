"""Which side of a split a conversation goes to, for all conversations at once.

What is decided is decided for a root: the parts of a conversation that was cut, `ROOT#part2`, ..., and the branches of a
thread, `ROOT#branch2`, ..., go where ROOT goes. By conversation, a hash of (seed, root) decides. By time, the root's
first turn does: a thread that began before the border and went on after it belongs to the time before.
"""

import argparse
import math
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from fairseq_latent.errors import InputError

from .collect import EPOCH, NEVER, Survey, microseconds
from .examples import places
from .split_files import SPLITS

TRAIN, VALID, TEST, NONE = range(4)

Share = int | float  # of all conversations: a number of them, or a fraction


@dataclass(frozen=True)
class SplitOptions:
    """What decides; `test` None: all conversations that begin from `test_from` on; `whole`: the side of all."""

    valid: Share = 0.05
    test: Share | None = 0.05
    seed: int = 1
    start: datetime | None = None
    test_from: datetime | None = None
    until: datetime | None = None
    disjoint_speakers: bool = False
    whole: str | None = None

    @property
    def by_time(self) -> bool:
        """Whether times are looked at."""
        return (self.start, self.test_from, self.until) != (None, None, None)


@dataclass(frozen=True)
class Decision:
    """codes (N,): TRAIN, VALID, TEST, or NONE; shared (N,): the root has other parts or branches; what was left out."""

    codes: np.ndarray
    shared: np.ndarray
    left_out: Counter[str]
    counts: dict[str, int]  # conversations on each side


def decide(found: Survey, rule: SplitOptions, path: Path) -> Decision:
    """The side of each conversation; InputError where a side would stay without any."""
    replied = found.positions >= 0
    roots, of, sizes = np.unique(found.positions[replied], return_inverse=True, return_counts=True)
    left_out: Counter[str] = Counter()
    if rule.whole:
        if not len(roots):
            raise InputError(f"{path}: no conversation has a reply; remedy: conversations of two turns or more")
        chosen = np.full(len(roots), SPLITS.index(rule.whole), np.uint8)
    elif rule.by_time:
        begins = np.full(len(roots), NEVER)
        np.minimum.at(begins, of, found.times[replied])
        chosen = _by_time(roots, begins, rule, left_out, path)
    else:
        chosen = choose_sides(roots, rule.valid, rule.test)
    codes = np.full(len(replied), NONE, np.uint8)
    codes[replied] = chosen[of]
    shared = np.zeros(len(replied), bool)
    shared[replied] = sizes[of] > 1
    if rule.disjoint_speakers:
        part(codes, found.speakers, found.speaker_counts, left_out, "speaker")
        if side := without_any(codes, bool(rule.valid)):
            raise InputError(
                f"--disjoint-speakers leaves no conversation to {side}; remedy: leave it out where speakers have "
                "the same names (A, B) in every conversation, or smaller --valid and --test"
            )
    counts = {side: len(np.unique(found.positions[codes == code])) for code, side in enumerate(SPLITS)}
    return Decision(codes, shared, left_out, counts)


def choose_sides(roots: np.ndarray, valid: Share, test: Share, which: str = "have a reply") -> np.ndarray:
    """Ordered positions -> sides: test has the smallest, valid the largest; InputError where a side would have none."""
    count = len(roots)
    need = sum(max(1, share) if isinstance(share, int) else 1 for share in (valid, test) if share) + 1
    if count < need:
        raise InputError(
            f"{count} conversations {which}, but --valid {valid}, --test {test} and training need {need} or more; "
            "remedy: smaller numbers, or more conversations"
        )
    low = roots[test] if isinstance(test, int) else test
    high = 1.0 if valid == 0 else roots[count - valid] if isinstance(valid, int) else 1 - valid
    codes = np.where(roots < low, TEST, np.where(roots >= high, VALID, TRAIN)).astype(np.uint8)
    for side, code, share in (("valid", VALID, valid), ("test", TEST, test)):
        if share and code not in codes:
            raise InputError(
                f"{side} gets none of {count} conversations with --{side} {share}; "
                f"remedy: a larger fraction, or a number of conversations, e.g. --{side} {math.ceil(count / 20)}"
            )
    if low >= high or TRAIN not in codes:
        raise InputError(
            f"--valid {valid} and --test {test} of {count} conversations leave none to train on; remedy: smaller ones"
        )
    return codes


def _by_time(
    roots: np.ndarray, begins: np.ndarray, rule: SplitOptions, left_out: Counter[str], path: Path
) -> np.ndarray:
    known = begins != NEVER
    if len(roots) and not known.any():
        raise InputError(
            f"{path}: no turn has a time in ISO 8601, e.g. 2019-01-31T12:00:00Z; "
            "remedy: add `time` to the turns, or split without --from, --test-from and --until"
        )
    inside = known & (begins >= (-NEVER if rule.start is None else microseconds(rule.start)))
    inside &= begins < (NEVER if rule.until is None else microseconds(rule.until))
    left_out["without a time"] += int(np.sum(~known))
    left_out["outside --from and --until"] += int(np.sum(known & ~inside))
    codes = np.full(len(roots), NONE, np.uint8)
    try:
        if rule.test_from is None:
            assert rule.test is not None
            codes[inside] = choose_sides(roots[inside], rule.valid, rule.test, "have a reply within --from and --until")
            return codes
        late = inside & (begins >= microseconds(rule.test_from))
        early = inside & ~late
        codes[early] = choose_sides(roots[early], rule.valid, 0, "have a reply and begin before --test-from")
        codes[late] = _draw(roots[late], rule.test)
    except InputError as error:
        raise _with_span(error, begins[known], path) from None
    left_out["not drawn for test"] += int(np.sum(codes[late] == NONE))
    return codes


def _with_span(error: InputError, begins: np.ndarray, path: Path) -> InputError:
    """The error of too few conversations on a side, with the time in which there are any."""
    if not len(begins):
        return error
    first, last = ((EPOCH + timedelta(microseconds=int(time))).date() for time in (begins.min(), begins.max()))
    what, _, remedy = str(error).partition("; remedy: ")
    borders = (
        f"other --from, --test-from and --until (FROM, TEST_FROM and UNTIL of twitter_en.sh and twitter_ja.sh), since "
        f"conversations of {path} begin from {first} to {last}"
    )
    none_at_all = what.startswith("0 ")  # then no other number helps
    return InputError(f"{what}; remedy: {borders if none_at_all else f'{remedy}, or {borders}'}")


def _draw(roots: np.ndarray, test: Share | None) -> np.ndarray:
    """All of the late roots for test, or a share of them."""
    count = len(roots)
    if test == 0:
        return np.full(count, NONE, np.uint8)
    if count < max(1, test if isinstance(test, int) else 1):
        raise InputError(
            f"{count} conversations begin from --test-from on, too few for test; remedy: an earlier time"
            + (", or a smaller --test" if isinstance(test, int) else "")
        )
    if test is None or test == count:
        return np.full(count, TEST, np.uint8)
    codes = np.where(roots < (roots[test] if isinstance(test, int) else test), TEST, NONE).astype(np.uint8)
    if TEST not in codes:
        raise InputError(f"test gets none of {count} conversations with --test {test}; remedy: a larger fraction")
    return codes


def part(codes: np.ndarray, owned: np.ndarray, counts: np.ndarray, left_out: Counter[str], what: str) -> None:
    """Valid loses the conversations with a speaker of test, then training those with a speaker of valid or test.

    `owned`: digests of the speakers, or whatever `what` says, of the first conversation, of the second, ...; counts (N,).
    """
    ends = np.cumsum(counts)
    held = np.empty(0, np.uint64)
    for lower, upper in ((VALID, TEST), (TRAIN, VALID)):
        sides = np.repeat(codes, counts)  # of the conversation that a speaker is in
        held = np.union1d(held, owned[sides == upper])
        candidates = np.flatnonzero(sides == lower)
        met = candidates[places(held, owned[candidates]) >= 0]
        dropped = np.unique(np.searchsorted(ends, met, side="right"))
        codes[dropped] = NONE
        others = "test" if lower == VALID else "valid or test"
        left_out[f"of {SPLITS[lower]} with a {what} of {others}"] += len(dropped)


def without_any(codes: np.ndarray, valid: bool) -> str | None:
    """The side, of training and where there is one validation, that has no conversation."""
    return next((SPLITS[code] for code in (TRAIN, VALID)[: 1 + valid] if code not in codes), None)


def parse_share(text: str) -> Share:
    """`500` is a number of conversations, `0.05` a fraction of them."""
    try:
        share = int(text) if text.strip().isdecimal() else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number like 500 nor a fraction like 0.05") from None
    if share < 0 or (isinstance(share, float) and not share < 1):
        raise argparse.ArgumentTypeError(f"{text}: a fraction lies between 0 and 1, a number is whole, like 500")
    return share
