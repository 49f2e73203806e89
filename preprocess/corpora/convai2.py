"""Reads PERSONA-CHAT as ConvAI2 released it (Dinan et al., 2019, https://arxiv.org/abs/1902.00098): English, personas.

An episode is a conversation as one of the two has it; its lines are numbered from 1:

    1 your persona: i like tea.
    2 partner's persona: i ski.                     in the form "both"; the form "self" has own personas alone
    3 what the partner says TAB the reply
    3 ... TAB the reply TAB TAB no .|yes .|...      in texts with candidates: replies, the right one mostly the last

The training files show a conversation from both sides: the next episode, whose first partner says `__SILENCE__`, has the
other's replies. The two become one conversation with both personas, in the form "self" too. Only the last turn may be
missing from one of them. A speaks first, B answers.
"""

import argparse
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fairseq_latent.errors import InputError

from ..conversation import Conversation, Turn
from .archives import Member, members

SOURCE = "convai2"
SILENCE = "__SILENCE__"
AGAIN = "remedy: download the file again"
NUMBERED = re.compile(r"([0-9]{1,9}) (.*)")
PERSONA = re.compile(r"(your|partner's) persona: ?(.*)")


@dataclass(frozen=True)
class Episode:
    """A conversation as `own`, A or B, has it; `number` counts the episodes of the file from 1."""

    number: int
    own: str
    turns: tuple[Turn, ...]
    personas: Mapping[str, tuple[str, ...]]


def read_convai2(path: str | Path, name: str | None = None, counts: Counter | None = None) -> Iterator[Conversation]:
    """Yield the conversations of one text; the id of one is the text's name and the number of its first episode.

    `path`: the text, or an archive or folder in which it is called `name`. `counts` is filled with "episodes" and
    "lines" of dialogue read, "merged" (conversations made of two episodes), and "turns", those "with candidates" if any,
    and "personas" (different ones) yielded. InputError "FILE:LINE: ..." for an episode without a persona, a line without
    its number or without a reply.
    """
    counts = Counter() if counts is None else counts
    personas = set()
    texts = members(path, name or "*.txt", plain=name or "*")
    for index, member in enumerate(texts):
        if index:
            raise InputError(f"{path} has several texts; remedy: name one, e.g. --text {Path(member.name).name}")
        for episode in merged(_episodes(member, counts), counts):
            personas.update(map(frozenset, episode.personas.values()))
            counts["turns"] += len(episode.turns)
            counts.update("with candidates" for turn in episode.turns if turn.candidates)
            counts["personas"] = len(personas)
            identity = f"{member.stem}-{episode.number}"
            yield Conversation(identity, episode.turns, episode.personas, lang="en", source=SOURCE)
    if not counts["episodes"]:
        raise InputError(f"{path} has no conversations; remedy: download it again")


def merged(episodes: Iterable[Episode], counts: Counter) -> Iterator[Episode]:
    """One episode for two adjacent ones that show the same conversation."""
    held = None
    for episode in episodes:
        if held is None:
            held = episode
        elif _same(held, episode):
            counts["merged"] += 1
            turns = _turns_of_both(held.turns, episode.turns)
            yield Episode(held.number, held.own, turns, {**episode.personas, **held.personas})
            held = None
        else:
            yield held
            held = episode
    if held is not None:
        yield held


def _same(first: Episode, second: Episode) -> bool:
    """Whether `second` is what the one who opened `first` has of it."""
    shared = min(len(first.turns), len(second.turns))
    known = first.personas.keys() & second.personas.keys()
    return (
        (first.own, second.own) == ("B", "A")
        and abs(len(first.turns) - len(second.turns)) <= 1
        and _spoken(first.turns[:shared]) == _spoken(second.turns[:shared])
        and all(sorted(first.personas[each]) == sorted(second.personas[each]) for each in known)
    )


def _spoken(turns: Iterable[Turn]) -> list[tuple[str, str]]:
    """What both sides have of the turns; candidates, only that of who replies has."""
    return [(turn.speaker, turn.text) for turn in turns]


def _turns_of_both(first: tuple[Turn, ...], second: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """The turns of two sides of a conversation, each with the candidates of the side that has them."""
    shared = [one if one.candidates else other for one, other in zip(first, second, strict=False)]
    return (*shared, *first[len(shared) :], *second[len(shared) :])


def _episodes(member: Member, counts: Counter) -> Iterator[Episode]:
    block: list[tuple[int, str]] = []
    for line, text in member.lines():
        numbered = NUMBERED.fullmatch(text)
        if not numbered or int(numbered[1]) not in (1, len(block) + 1):
            expected = f"{len(block) + 1} or 1" if block else "1"
            raise InputError(f"{member.where}:{line}: no number {expected} and a space before it; {AGAIN}")
        if int(numbered[1]) == 1 and block:
            yield _episode(member, block, counts)
            block = []
        block.append((line, numbered[2]))
    if block:
        yield _episode(member, block, counts)


def _episode(member: Member, block: list[tuple[int, str]], counts: Counter) -> Episode:
    """An episode from its lines, (line of the file, text)."""
    personas: dict[str, list[str]] = {}
    said: list[tuple[str, str, tuple[str, ...]]] = []
    for line, text in block:
        persona = PERSONA.fullmatch(text)
        if persona and "\t" not in text and not said:
            personas.setdefault(persona[1], []).append(persona[2])
            continue
        partner, *replies = text.split("\t")
        if not replies:
            raise InputError(f"{member.where}:{line}: no tab and reply after what the partner says; {AGAIN}")
        offered = replies[2].split("|") if len(replies) > 2 else ()  # the field before them is for a reward
        said.append((partner, replies[0], tuple(each for each in offered if each.strip())))
    if "your" not in personas or not said:
        missing = "dialogue" if "your" in personas else "'your persona:'"
        remedy = "give a text with personas, of the form self or both"
        raise InputError(f"{member.where}:{block[0][0]}: the episode has no {missing}; remedy: {remedy}")
    counts.update(episodes=1, lines=len(said))
    own, other = ("A", "B") if said[0][0] == SILENCE else ("B", "A")
    spoken = (
        turn
        for partner, reply, offered in said
        for turn in (Turn(other, partner), Turn(own, reply, candidates=offered or None))
    )
    turns = tuple(turn for turn in spoken if turn.text != SILENCE)
    named = ((own, personas["your"]), (other, personas.get("partner's", ())))
    return Episode(counts["episodes"], own, turns, {speaker: tuple(them) for speaker, them in named if them})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this corpus."""
    parser.add_argument("file", metavar="FILE", help="e.g. train_both_original.txt or train_self_original.txt")
    parser.add_argument("--text", metavar="NAME", help="where FILE is an archive: the text in it to read")


def read(options: argparse.Namespace, counts: Counter) -> Iterator[Conversation]:
    """What the flags ask for; counts what is read and what is left out."""
    return read_convai2(options.file, options.text, counts)


def account(counts: Counter, kept: int) -> str:
    """One line about what was read, once `kept` conversations are written."""
    offered = f" ({counts['with candidates']:,} with candidates)" if counts["with candidates"] else ""
    return (
        f"{counts['episodes']:,} episodes, {counts['lines']:,} lines of dialogue read, {counts['merged']:,} times two "
        f"episodes of one conversation made one, {kept:,} conversations, {counts['turns']:,} turns{offered}, "
        f"{counts['personas']:,} personas kept"
    )
