"""`python -m preprocess.split`: conversations.jsonl -> train|valid|test.src|tgt|ids, line-parallel text for training.

A target is a turn, its source the last N turns before it, joined by " <eot> ". Conversations are never torn apart: the side
of one is decided by a hash of (seed, id), parts that `preprocess.clean` cut off go where the first part goes, and the order
of the file does not matter. With fractions, adding conversations never moves another one to a different side. With exact
numbers it can: `--test 500` takes the 500 conversations with the smallest hashes, of which a new one may become part.
"""

import argparse
import hashlib
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from fairseq_latent.errors import InputError, run
from fairseq_latent.files import written_together
from fairseq_latent.symbols import EOT

from .conversation import Conversation, read_conversations, whole_id

SIDES = ("train", "valid", "test")
FIELDS = ("src", "tgt", "ids")
LINE_BREAK = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")

Share = int | float  # of all conversations: a number of them, or a fraction


@dataclass(frozen=True)
class Pair:
    """A response and its context; the id is that of the conversation and the response's place in it, from 0."""

    id: str
    source: str
    target: str


@dataclass(frozen=True)
class Sides:
    """Which side a hash in [0, 1) belongs to: test is below `low`, valid from `high` on, train what is between."""

    low: float
    high: float

    def side(self, position: float) -> str:
        """train, valid or test."""
        if position < self.low:
            return "test"
        return "valid" if position >= self.high else "train"


def position(seed: int, conversation_id: str) -> float:
    """Where (seed, conversation) falls in [0, 1), evenly; equal for all parts of a conversation."""
    digest = hashlib.blake2b(f"{seed}\n{whole_id(conversation_id)}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53  # 53 bits: exact in a float, and below 1


def pairs(conversation: Conversation, context_turns: int) -> Iterator[Pair]:
    """Every turn but the first, as the response to the last `context_turns` turns before it."""
    texts = [turn.text for turn in conversation.turns]
    for index in range(1, len(texts)):
        source = f" {EOT} ".join(texts[max(0, index - context_turns) : index])
        yield Pair(f"{conversation.id}:{index}", source, texts[index])


def choose_sides(positions: set[float], valid: Share, test: Share) -> Sides:
    """The borders that give valid and test their share; InputError where a side would stay without conversations."""
    ordered, count = sorted(positions), len(positions)
    need = sum(max(1, share) if isinstance(share, int) else 1 for share in (valid, test) if share) + 1
    if count < need:
        raise InputError(
            f"{count} conversations have a reply, but --valid {valid}, --test {test} and training need {need} or more; "
            "remedy: smaller numbers, or more conversations"
        )
    low = ordered[test] if isinstance(test, int) else test
    high = 1.0 if valid == 0 else ordered[count - valid] if isinstance(valid, int) else 1 - valid
    sides = Sides(low, high)
    found = Counter(sides.side(place) for place in positions)
    for side, share in (("valid", valid), ("test", test)):
        if share and not found[side]:
            raise InputError(
                f"{side} gets none of {count} conversations with --{side} {share}; "
                f"remedy: a larger fraction, or a number of conversations, e.g. --{side} {math.ceil(count / 20)}"
            )
    if low >= high or not found["train"]:
        raise InputError(
            f"--valid {valid} and --test {test} of {count} conversations leave none to train on; remedy: smaller ones"
        )
    return sides


def split(path: Path, out: Path, context_turns: int, valid: Share, test: Share, seed: int) -> dict:
    """Write the sides to the folder `out`, all files or none; returns what is written to split.json."""
    if context_turns < 1:
        raise InputError(f"--context-turns {context_turns}: a context needs 1 turn or more; remedy: --context-turns 1")
    positions = _positions(path, seed)
    sides = choose_sides(positions, valid, test)
    wanted = [side for side in SIDES if {"train": 1, "valid": valid, "test": test}[side]]
    _refuse_leftovers(out, wanted)
    found = Counter(sides.side(place) for place in positions)
    counts = {side: {"conversations": found[side], "pairs": 0} for side in wanted}
    arguments = {"context_turns": context_turns, "valid": valid, "test": test, "seed": seed}
    report = {"version": 1, "input": path.name, **arguments, "without_reply": 0, "splits": counts}
    # split.json comes last: where it is, all the others are
    names = [f"{side}.{field}" for side in wanted for field in FIELDS] + ["split.json"]
    with written_together(out / name for name in names) as opened:
        files = dict(zip(names, opened, strict=True))
        for conversation in _progress(path, "split"):
            if len(conversation.turns) < 2:
                report["without_reply"] += 1
                continue
            side = sides.side(position(seed, conversation.id))
            for pair in pairs(conversation, context_turns):
                counts[side]["pairs"] += 1
                for field, line in zip(FIELDS, (pair.source, pair.target, pair.id), strict=True):
                    files[f"{side}.{field}"].write(line + "\n")
        json.dump(report, files["split.json"], indent=2)
        files["split.json"].write("\n")
    return report


def _positions(path: Path, seed: int) -> set[float]:
    """The hashes of all conversations with a reply; the whole file is checked on the way."""
    positions, empty = set(), True
    for conversation in _progress(path, "check"):
        empty = False
        _check_texts(path, conversation)
        if len(conversation.turns) > 1:
            positions.add(position(seed, conversation.id))
    if empty:
        raise InputError(f"{path} has no conversations; remedy: write it again")
    return positions


def _check_texts(path: Path, conversation: Conversation) -> None:
    """Text that would break the lines of the output, or pose as its symbols, has to be cleaned before."""
    for index, turn in enumerate(conversation.turns):
        wrong = (
            (not turn.text.strip() and "is empty")
            or (LINE_BREAK.search(turn.text) and "has a line break")
            or (EOT in turn.text and f"contains the symbol {EOT}")
        )
        if wrong:
            raise InputError(
                f"{path}: conversation {conversation.id}: turns[{index}] {wrong}; remedy: python -m preprocess.clean"
            )


def _refuse_leftovers(out: Path, wanted: list[str]) -> None:
    """`--test 0` writes no test files; those of an earlier run would be taken for this one's."""
    for side in SIDES:
        if side not in wanted and (out / f"{side}.src").exists():
            raise InputError(f"{out} has {side} files of an earlier run; remedy: delete them or choose another --out")


def _progress(path: Path, what: str) -> Iterator[Conversation]:
    return tqdm(read_conversations(path), what, unit=" conversations", disable=None)


def parse_share(text: str) -> Share:
    """`500` is a number of conversations, `0.05` a fraction of them."""
    try:
        share = int(text) if text.strip().isdecimal() else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number like 500 nor a fraction like 0.05") from None
    if share < 0 or (isinstance(share, float) and not share < 1):
        raise argparse.ArgumentTypeError(f"{text}: a fraction lies between 0 and 1, a number is whole, like 500")
    return share


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m preprocess.split",
        description="Split a clean conversations.jsonl by conversation and write train|valid|test.src (contexts), .tgt "
        "(responses), .ids and split.json. The side of a conversation depends on the seed and its id alone.",
    )
    share = "fraction (0.05) or exact number (500) of the conversations with a reply; 0: none (default: 0.05)"
    parser.add_argument("file", type=Path, metavar="FILE", help="conversations.jsonl or conversations.jsonl.gz")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--context-turns", type=int, default=1, metavar="N", help="turns in a context (default: 1)")
    parser.add_argument("--valid", type=parse_share, default=0.05, metavar="SHARE", help=share)
    parser.add_argument("--test", type=parse_share, default=0.05, metavar="SHARE", help=share)
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another seed, another split (default: 1)")
    options = parser.parse_args(arguments)
    report = split(options.file, options.out, options.context_turns, options.valid, options.test, options.seed)
    for side, count in report["splits"].items():
        print(f"{side:<6}{count['conversations']:>10,} conversations{count['pairs']:>12,} pairs")
    print(f"{report['without_reply']:,} conversations, or parts of one, have no reply -> {options.out}")


if __name__ == "__main__":
    sys.exit(run(main))
