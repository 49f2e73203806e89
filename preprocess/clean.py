"""`python -m preprocess.clean`: conversations.jsonl -> conversations.jsonl, fit for line-parallel text.

First, adjacent turns of one speaker become one. Then every turn passes through the rules of `cleaning.rules`. Links are
removed, not replaced by a word: no response should be trained to contain one. Of tweets, names, hashtags and links go
before turns become one, since every tweet brings its own. The rules are for personas too, and for the candidates of a turn;
turns that became one lose theirs, which answer only one of them.

A context must never skip a turn silently. So where a turn goes, the conversation is cut: what came before keeps the id,
what follows is a new conversation `id#part2`, and so on. `preprocess.split` keeps the parts together.

An id that stands twice is refused when all lines are read, and one that a cut gives a second time, as in a file that was
cleaned before: for that, memory grows by 16 bytes per conversation, 32 at the end.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from fairseq_latent.errors import InputError, Parser, run
from fairseq_latent.files import written_whole

from .cleaning.rules import CleaningOptions, Rule, add_options, cleaning_options, message_rules, rules
from .conversation import checked_records, dump_record, header_line, part_id, zipped
from .lines import raw_lines
from .parallel import available_cores, map_blocks
from .splitting.examples import digest, refuse_repeated_ids, trusted

MERGE = "merge turns of one speaker"


@dataclass
class Tally:
    """How many turns each rule changed and dropped, and what became of the conversations; tallies add up."""

    turns: int = 0  # before the first rule
    changed: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    conversations: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Tally") -> None:
        """Count what another one counted."""
        self.turns += other.turns
        for mine, theirs in zip(self._counters(), other._counters(), strict=True):
            mine.update(theirs)

    def _counters(self) -> tuple[Counter[str], ...]:
        return self.changed, self.dropped, self.conversations

    def rows(self, names: Iterable[str]) -> Iterator[tuple[str, int, int, int]]:
        """(rule, turns it read, changed, dropped): the next rule reads what this one left."""
        read = self.turns
        for name in names:
            yield name, read, self.changed[name], self.dropped[name]
            read -= self.dropped[name]

    def lines(self, names: Iterable[str]) -> list[str]:
        """The table: in a row read = unchanged + changed + dropped."""
        lines = [f"{'turns':<36}{'read':>12}{'unchanged':>12}{'changed':>12}{'dropped':>12}"]
        for name, read, changed, dropped in self.rows(names):
            lines.append(f"{name:<36}{read:>12,}{read - changed - dropped:>12,}{changed:>12,}{dropped:>12,}")
        count = self.conversations
        return [
            *lines,
            f"conversations: {count['read']:,} read + {count['parts']:,} parts cut off"
            f" - {count['dropped']:,} without a turn = {count['written']:,} written",
        ]


@dataclass(frozen=True)
class Cleaner:
    """Rules for single messages, then, when those of one speaker have become one turn, rules for turns."""

    messages: Sequence[tuple[str, Rule]]
    turns: Sequence[tuple[str, Rule]]

    @property
    def names(self) -> list[str]:
        """The rows of the table."""
        return [*(name for name, _ in self.messages), MERGE, *(name for name, _ in self.turns)]

    def clean(self, records: Iterable[dict], tally: Tally) -> Iterator[dict]:
        """Yield the clean parts of every conversation's JSON object, in order."""
        for record in records:
            turns = record["turns"]
            tally.turns += len(turns)
            if self.messages:
                turns = [turn | {"text": apply_rules(turn["text"], self.messages, tally)} for turn in turns]
            parts = self._cut(merge_turns(turns, tally), tally)
            tally.conversations.update(read=1, parts=max(len(parts) - 1, 0), dropped=int(not parts), written=len(parts))
            changes = {}
            if record.get("personas") is not None:
                personas = record["personas"].items()
                changes["personas"] = {speaker: apply_uncounted(texts, self.turns) for speaker, texts in personas}
            for number, part in enumerate(parts, 1):
                yield record | {"id": part_id(record["id"], number), "turns": part} | changes

    def _cut(self, turns: Iterable[dict], tally: Tally) -> list[list[dict]]:
        """The clean turns, in one part or, where turns were dropped, in several."""
        parts: list[list[dict]] = [[]]
        for turn in turns:
            text = apply_rules(turn["text"], self.turns, tally)
            if text is None:
                parts.append([])
            else:
                turn = turn if text is turn["text"] else turn | {"text": text}
                parts[-1].append(self._clean_candidates(turn) if "candidates" in turn else turn)
        return [part for part in parts if part]

    def _clean_candidates(self, turn: dict) -> dict:
        """A turn whose candidates went through all that its text did; where none is left, without the key."""
        candidates = apply_uncounted(turn["candidates"] or (), (*self.messages, *self.turns))
        rest = {key: value for key, value in turn.items() if key != "candidates"}
        return rest | {"candidates": candidates} if candidates else rest


@lru_cache
def cleaner(wanted: CleaningOptions) -> Cleaner:
    """The rules that are wanted; a process makes them once."""
    return Cleaner(message_rules(wanted), rules(wanted))


def merge_turns(turns: Sequence[dict], tally: Tally) -> list[dict]:
    """Adjacent turns of one speaker become one, with the first one's id and time, without candidates."""
    merged: list[dict] = []
    grown: set[int] = set()
    for turn in turns:
        if merged and merged[-1]["speaker"] == turn["speaker"]:
            merged[-1] = merged[-1] | {"text": f"{merged[-1]['text']} {turn['text']}"}
            merged[-1].pop("candidates", None)
            grown.add(len(merged))
        else:
            merged.append(turn)
    if grown:
        tally.changed[MERGE] += len(grown)
        tally.dropped[MERGE] += len(turns) - len(merged)
    return merged


def apply_rules(text: str, rules: Sequence[tuple[str, Rule]], tally: Tally) -> str | None:
    """What the rules, one after another, make of a text; None as soon as one of them drops it."""
    for name, rule in rules:
        result = rule(text)
        if result is not text and result != text:
            (tally.dropped if result is None else tally.changed)[name] += 1
            if result is None:
                return None
            text = result
    return text


def apply_uncounted(texts: Iterable[str], rules: Sequence[tuple[str, Rule]]) -> list[str]:
    """What the rules make of texts that are no turns, without those that they drop; the table counts turns."""
    uncounted = Tally()
    return [text for text in (apply_rules(each, rules, uncounted) for each in texts) if text]


def clean_block(first: int, data: bytes, path: str, wanted: CleaningOptions) -> tuple[bytes, Tally, bytes, bytes]:
    """Lines of `path` -> clean lines, what was counted, and digests of the ids read and of those written."""
    tally = Tally()
    records = [record for _, record in checked_records(path, first, data)]
    cleaned = list(cleaner(wanted).clean(records, tally))
    ids = (b"".join(digest(record["id"]) for record in some) for some in (records, cleaned))
    return b"".join(map(dump_record, cleaned)), tally, *ids


def clean_file(path: Path, out: Path, wanted: CleaningOptions, workers: int) -> Tally:
    """Write the clean conversations, whole or not at all; workers change the time, never the result."""
    cleaner(wanted)  # what is missing is missed before any work
    tally, ids, given = Tally(), bytearray(), bytearray()
    blocks = map_blocks(partial(clean_block, path=str(path), wanted=wanted), path, workers, progress="clean")
    with written_whole(out, "wb") as plain, zipped(plain, out) as file, closing(blocks):
        file.write(header_line())
        for lines, counted, read, written in blocks:
            file.write(lines)
            tally.add(counted)
            ids += read
            given += written
        refuse_repeated_ids(path, np.frombuffer(ids, np.uint64))
        _refuse_given_twice(path, np.frombuffer(given, np.uint64))
    return tally


def _refuse_given_twice(path: Path, ids: np.ndarray) -> None:
    """InputError where a part that was cut off has the id of an earlier part."""
    values, counts = np.unique(ids, return_counts=True)
    twice = set(values[counts > 1].tolist())
    for number, line in raw_lines(path) if twice else ():
        for _, record in trusted(number, line):
            if int.from_bytes(digest(record["id"]), sys.byteorder) in twice:
                raise InputError(
                    f"{path}:{number}: {record['id']} is a part that was cut off before, and another one would get this id; "
                    "remedy: clean the file as it was before it was cut"
                )


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m preprocess.clean",
        description="Clean a conversations.jsonl: merge adjacent turns of one speaker, unescape HTML, blank control "
        "characters, remove URLs, break up special symbols that users typed, squeeze white space, drop empty and long "
        "turns, and what the options below add. A conversation is cut where a turn was dropped: c1 goes on as c1#part2.",
    )
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help="conversations.jsonl or conversations.jsonl.gz")
    add("--out", type=Path, required=True, metavar="FILE", help="the clean conversations.jsonl (or .jsonl.gz)")
    add(
        "--tweets",
        action="store_true",
        help="remove names at the start, hashtags at the end and invisible characters; drop turns that still have "
        "@ # { or }, or of which one character is more than half",
    )
    add("--lang", metavar="LANG", help="drop turns in another language, as --detector has it")
    add_options(parser)
    add("--report", type=Path, metavar="FILE", help="write the table of counts there too")
    add("--workers", type=int, default=available_cores(), metavar="N", help="processes (default: cores)")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    options = _parser().parse_args(arguments)
    wanted = cleaning_options(options, options.tweets)
    lines = clean_file(options.file, options.out, wanted, options.workers).lines(cleaner(wanted).names)
    print(*lines, sep="\n")
    if options.report:
        with written_whole(options.report) as file:
            file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(run(main))
