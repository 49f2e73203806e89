"""Reads DailyDialog (Li et al., 2017, https://arxiv.org/abs/1710.03957) as ConvLab-3 releases it: everyday English.

`data.zip` holds `dialogues.json`, a list of dialogues: `data_split` (train, validation or test: the official split),
`dialogue_id`, and `turns` with `speaker` (user and system by turns, though both were people) and `utterance`. Topics,
emotions and dialogue acts are left out.
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from fairseq_latent.errors import InputError

from ..conversation import Conversation, conversation_from
from .archives import Member, members

SOURCE = "dailydialog"
SPLITS = ("train", "validation", "test")
GAP = re.compile(r"[\s,]*")


def read_dailydialog(path: str | Path, split: str = "all", counts: Counter | None = None) -> Iterator[Conversation]:
    """Yield the conversations of one split, or of all; their ids are the corpus's and name the split.

    `path`: the zip, its folder or dialogues.json. `counts` is filled with "conversations" and "turns" read. InputError
    where the file is damaged or has another form (with its line), or holds nothing of the split.
    """
    counts = Counter() if counts is None else counts
    kept = False
    for member in members(path, "dialogues.json"):
        for line, record in _records(member):
            try:
                found, conversation = record["data_split"], conversation_from(_renamed(record))
            except (InputError, KeyError, TypeError) as error:
                raise member.other_form(line, error) from None
            counts.update(conversations=1, turns=len(conversation.turns))
            if split in ("all", found):
                kept = True
                yield conversation
    if not kept:
        raise InputError(f"{path} has no conversations of --split {split}; remedy: --split all, or the whole corpus")


def _records(member: Member) -> Iterator[tuple[int, dict]]:
    """(line, object) of a JSON list, one after another: the objects of 47 MB of JSON take ten times as much memory."""
    text, decoder = member.text(), json.JSONDecoder()
    position = GAP.match(text).end()
    if text[position : position + 1] != "[":
        raise InputError(f"{member.where}:1: not a JSON list of dialogues; remedy: give ConvLab-3's data.zip")
    start, line = 0, 1
    position = GAP.match(text, position + 1).end()
    while text[position : position + 1] != "]":
        line += text.count("\n", start, position)
        start = position
        try:
            record, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            raise member.no_json(error) from None
        yield line, record
        position = GAP.match(text, position).end()


def _renamed(record: dict) -> dict:
    """A dialogue with the keys of conversations.jsonl."""
    turns = [{"speaker": turn["speaker"], "text": turn["utterance"]} for turn in record["turns"]]
    return {"id": record["dialogue_id"], "turns": turns, "lang": "en", "source": SOURCE}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this corpus."""
    parser.add_argument("file", metavar="FILE", help="ConvLab-3's data.zip, or the dialogues.json in it")
    parser.add_argument("--split", choices=(*SPLITS, "all"), default="all", help="official split (default: all)")


def read(options: argparse.Namespace, counts: Counter) -> Iterator[Conversation]:
    """What the flags ask for; counts what is read and what is left out."""
    return read_dailydialog(options.file, options.split, counts)


def account(counts: Counter, kept: int) -> str:
    """One line about what was read, once `kept` conversations are written."""
    read = f"{counts['conversations']:,} conversations, {counts['turns']:,} turns read"
    return f"{read}, {counts['conversations'] - kept:,} of other splits left out, {kept:,} kept"
