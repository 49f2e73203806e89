"""`python -m preprocess.clean`: conversations.jsonl -> conversations.jsonl, fit for line-parallel text.

First, adjacent turns of one speaker become one. Then every turn passes through a list of rules. A rule is a function
from a text to the text that should stand there, or to None where the turn has to go; to add a rule, write the function
and add its line to `rules`. Links are removed, not replaced by a word: no response should be trained to contain one.

A context must never skip a turn silently. So where a turn goes, the conversation is cut: what came before keeps the id,
what follows is a new conversation `id#part2`, and so on. `preprocess.split` keeps the parts together.
"""

import argparse
import html
import re
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from tqdm import tqdm

from fairseq_latent.errors import InputError, run
from fairseq_latent.symbols import RESERVED, USER_SYMBOLS

from .conversation import Conversation, Turn, part_id, read_conversations, write_conversations

Rule = Callable[[str], str | None]

SYMBOLS = frozenset((*RESERVED, *USER_SYMBOLS))
MERGE = "merge turns of one speaker"

# Cc (controls), Zl and Zp (line and paragraph separator): all that any tool takes for the end of a line
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# brackets that SentencePiece's NFKC normalisation turns into < and >
BRACKETED = re.compile("[<\uff1c\ufe64]([^<\uff1c\ufe64>\uff1e\ufe65]{1,12})[>\uff1e\ufe65]")
# ASCII only, since Japanese goes on without a space; the last character is none that ends a sentence
URL = re.compile(r"(?:https?://|www\.)[!-~]*[A-Za-z0-9/=&#_~-]", re.IGNORECASE)


def unescape_html(text: str) -> str:
    """&amp;lt; -> &lt; -> <: until nothing changes, since corpora are often escaped twice."""
    while (plain := html.unescape(text)) != text:
        text = plain
    return text


def blank_control_characters(text: str) -> str:
    """A space for every control character and every line separator."""
    return CONTROL.sub(" ", text)


def remove_urls(text: str) -> str:
    """Links go, the words around them stay."""
    return URL.sub(" ", text)


def break_up_symbols(text: str) -> str:
    """<eot> that a user typed -> < eot >, in whatever width, so that it cannot pose as ours."""
    return BRACKETED.sub(_broken_up, text)


def _broken_up(match: re.Match) -> str:
    typed = match.group()
    poses = unicodedata.normalize("NFKC", typed) in SYMBOLS
    return f"{typed[0]} {match.group(1)} {typed[-1]}" if poses else typed


def squeeze_whitespace(text: str) -> str:
    """One plain space for every run of white space (also the ideographic one); none at the ends."""
    return " ".join(text.split())


def drop_empty(text: str) -> str | None:
    """A turn in which nothing is left goes."""
    return text or None


def drop_long(text: str, max_words: int) -> str | None:
    """A turn of more than `max_words` words goes; words are what stands between spaces."""
    return text if len(text.split()) <= max_words else None


def rules(max_words: int) -> list[tuple[str, Rule]]:
    """The rules in their order, each with the name it has in the table."""
    return [
        ("unescape HTML", unescape_html),
        ("blank control characters", blank_control_characters),
        ("remove URLs", remove_urls),
        ("break up special symbols", break_up_symbols),
        ("squeeze white space", squeeze_whitespace),
        ("drop empty turns", drop_empty),
        (f"drop turns of > {max_words} words", partial(drop_long, max_words=max_words)),
    ]


class Tally:
    """How many turns each rule read, changed and dropped, and what became of the conversations."""

    def __init__(self) -> None:
        self.rows: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        self.conversations: Counter[str] = Counter()

    def add(self, name: str, read: int, changed: int, dropped: int) -> None:
        """Count what one rule did; `changed` and `dropped` are different turns."""
        row = self.rows[name]
        row[0] += read
        row[1] += changed
        row[2] += dropped

    def lines(self) -> list[str]:
        """The table: in a row read = unchanged + changed + dropped, and the next row reads what this one left."""
        lines = [f"{'turns':<32}{'read':>12}{'unchanged':>12}{'changed':>12}{'dropped':>12}"]
        for name, (read, changed, dropped) in self.rows.items():
            lines.append(f"{name:<32}{read:>12,}{read - changed - dropped:>12,}{changed:>12,}{dropped:>12,}")
        count = self.conversations
        return [
            *lines,
            f"conversations: {count['read']:,} read + {count['parts']:,} parts cut off"
            f" - {count['dropped']:,} without a turn = {count['written']:,} written",
        ]


def clean(
    conversations: Iterable[Conversation], rules: Sequence[tuple[str, Rule]], tally: Tally
) -> Iterator[Conversation]:
    """Yield every conversation's clean parts, in order, and count in `tally`; the rules apply to personas too."""
    for conversation in conversations:
        parts = _cut(merge_turns(conversation.turns, tally), rules, tally)
        personas = _clean_personas(conversation, rules)
        tally.conversations.update(read=1, parts=max(len(parts) - 1, 0), dropped=int(not parts), written=len(parts))
        for number, turns in enumerate(parts, 1):
            yield replace(conversation, id=part_id(conversation.id, number), turns=turns, personas=personas)


def merge_turns(turns: Sequence[Turn], tally: Tally) -> list[Turn]:
    """Adjacent turns of one speaker become one, with the first one's id and time."""
    merged: list[Turn] = []
    grown: set[int] = set()
    for turn in turns:
        if merged and merged[-1].speaker == turn.speaker:
            merged[-1] = replace(merged[-1], text=f"{merged[-1].text} {turn.text}")
            grown.add(len(merged))
        else:
            merged.append(turn)
    tally.add(MERGE, len(turns), len(grown), len(turns) - len(merged))
    return merged


def apply_rules(text: str, rules: Sequence[tuple[str, Rule]], tally: Tally) -> str | None:
    """What the rules, one after another, make of a text; None as soon as one of them drops it."""
    for name, rule in rules:
        result = rule(text)
        tally.add(name, 1, result is not None and result != text, result is None)
        if result is None:
            return None
        text = result
    return text


def _cut(turns: Iterable[Turn], rules: Sequence[tuple[str, Rule]], tally: Tally) -> list[tuple[Turn, ...]]:
    """The clean turns, in one part or, where turns were dropped, in several."""
    parts: list[list[Turn]] = [[]]
    for turn in turns:
        text = apply_rules(turn.text, rules, tally)
        if text is None:
            parts.append([])
        else:
            parts[-1].append(replace(turn, text=text))
    return [tuple(part) for part in parts if part]


def _clean_personas(conversation: Conversation, rules: Sequence[tuple[str, Rule]]) -> dict[str, list[str]] | None:
    if conversation.personas is None:
        return None
    uncounted = Tally()  # the table counts turns
    return {
        speaker: [text for text in (apply_rules(sentence, rules, uncounted) for sentence in sentences) if text]
        for speaker, sentences in conversation.personas.items()
    }


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m preprocess.clean",
        description="Clean a conversations.jsonl: merge adjacent turns of one speaker, unescape HTML, blank control "
        "characters, remove URLs, break up special symbols that users typed, squeeze white space, drop empty and long "
        "turns. A conversation is cut where a turn was dropped: c1 goes on as c1#part2.",
    )
    parser.add_argument("file", metavar="FILE", help="conversations.jsonl or conversations.jsonl.gz")
    parser.add_argument("--out", required=True, metavar="FILE", help="the clean conversations.jsonl (or .jsonl.gz)")
    parser.add_argument("--max-words", type=int, default=100, metavar="N", help="drop longer turns (default: 100)")
    options = parser.parse_args(arguments)
    if options.max_words < 1:
        raise InputError(f"--max-words {options.max_words} drops every turn; remedy: give 1 or more")
    tally = Tally()
    conversations = tqdm(read_conversations(options.file), "clean", unit=" conversations", disable=None)
    write_conversations(options.out, clean(conversations, rules(options.max_words), tally))
    print(*tally.lines(), sep="\n")


if __name__ == "__main__":
    sys.exit(run(main))
