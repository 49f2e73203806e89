"""Reads the open2ch dialogue corpus (Inaba, 2019, https://github.com/1never/open2ch-dialogue-corpus): a Japanese board.

A line of a `.tsv` is a chain of replies. In `ranking.zip` (dev.tsv, test.tsv) a label stands before it:

    label TAB post TAB post ...     label 1: the chain as it was written; 0: its last post is one from elsewhere

In `corpus.zip` lines are posts alone. Two people take turns: that is how the corpus was chosen, and neither has a name.
A line break inside a post is written ` __BR__ `; it becomes one again.
"""

import argparse
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from fairseq_latent.errors import InputError

from ..conversation import Conversation, Turn
from .archives import members

SOURCE = "open2ch"
LINE_BREAK = re.compile(" ?__BR__ ?")


def read_open2ch(
    path: str | Path, split: str | None = None, labelled: bool = True, counts: Counter | None = None
) -> Iterator[Conversation]:
    """Yield the real chains; a conversation's id is its file and line, and its speakers are A and B.

    `path`: a zip, a folder or a `.tsv`; `split`: the name of one `.tsv`, e.g. dev. `counts` is filled with "lines" read,
    "negatives" left out, and "turns" yielded. InputError "FILE:LINE: ..." for lines of another form.
    """
    counts = Counter() if counts is None else counts
    pattern = f"{split or '*'}.tsv"
    for member in members(path, pattern, plain=pattern if split else "*"):
        for number, line in member.lines():
            try:
                real, posts = _parse(line, labelled)
            except InputError as error:
                raise InputError(f"{member.where}:{number}: {error}") from None
            counts.update(lines=1, negatives=int(not real))
            if real:
                turns = tuple(Turn("AB"[index % 2], LINE_BREAK.sub("\n", post)) for index, post in enumerate(posts))
                counts["turns"] += len(turns)
                yield Conversation(f"{SOURCE}-{member.stem}-{number}", turns, lang="ja", source=SOURCE)
    if not counts["turns"]:
        raise InputError(f"{path} has no conversations; remedy: download it again")


def _parse(line: str, labelled: bool) -> tuple[bool, list[str]]:
    """Whether the chain is real, and its posts."""
    label, *posts = fields = line.split("\t")
    if not labelled:
        label, posts = "1", fields
    if len(posts) < 2:
        form = "a label and two posts" if labelled else "two posts"
        raise InputError(f"{len(fields)} tab-separated field(s), not {form} or more; remedy: download the file again")
    if label not in ("0", "1"):
        raise InputError("no label 0 or 1 before the posts; remedy: --unlabelled where lines are posts alone")
    return label == "1", posts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this corpus."""
    parser.add_argument("file", metavar="FILE", help="ranking.zip or corpus.zip, or a .tsv of it")
    parser.add_argument("--split", metavar="NAME", help="only NAME.tsv, e.g. dev or test (default: all)")
    parser.add_argument("--unlabelled", action="store_true", help="lines are posts alone, as in corpus.zip")


def read(options: argparse.Namespace, counts: Counter) -> Iterator[Conversation]:
    """What the flags ask for; counts what is read and what is left out."""
    return read_open2ch(options.file, options.split, not options.unlabelled, counts)


def account(counts: Counter, kept: int) -> str:
    """One line about what was read, once `kept` conversations are written."""
    return (
        f"{counts['lines']:,} lines read, {counts['negatives']:,} negatives left out, "
        f"{kept:,} conversations, {counts['turns']:,} turns kept"
    )
