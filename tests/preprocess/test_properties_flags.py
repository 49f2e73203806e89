"""Property tests: whatever flags the steps of preprocess get, each ends in success or in one line."""

import argparse
import importlib.util
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess import check, clean, personas, split, subwords, vectors
from preprocess.corpora import __main__ as corpora
from preprocess.splitting.split_files import SPLITS

from ..helpers.hostile import DEAR, flags, folder, outcome, parser_of
from ..helpers.releases import packed
from .corpora.test_properties_readers import (
    CHITCHAT,
    CONVAI2,
    DAILYDIALOG,
    DEV,
    FIRST,
    PERSONAS,
    PLAIN,
    PTB,
    STARRED,
    table,
    text_of,
)
from .test_properties_steps import CONVERSATIONS, HEADER, TEXT, VECTORS, lines_of

INPUTS = {
    "x.jsonl": HEADER + lines_of(CONVERSATIONS), "dataset.json": text_of(CHITCHAT), "x.txt": CONVAI2.encode(),
    "dialogues.json": text_of(DAILYDIALOG), "x.tsv": DEV.encode(), "x_test.csv": table(PLAIN, STARRED).encode(),
    "r/dialogues/1.json": text_of(FIRST), "r/interlocutors.json": text_of(PERSONAS), "v.txt": VECTORS,
    "d/dict.txt": "".join(f"\u2581{word} 1\n" for word in ["i", "do", "like", "tea", "ski"]).encode(),
} | {name: text.encode() for name, text in PTB.items()} | {
    f"d/{side}.{name}": text.encode() for side in SPLITS for name, text in zip(("src", "tgt"), TEXT, strict=True)
}  # fmt: skip
OUT = ("--out", "out")
COMMANDS = {  # main, and words without which there is nothing to do
    "check": (check.main, "x.jsonl"),
    "chitchat": (corpora.main, "chitchat", "--dataset", "dataset.json", *OUT),
    "convai2": (corpora.main, "convai2", "x.txt", *OUT),
    "dailydialog": (corpora.main, "dailydialog", "dialogues.json", *OUT),
    "open2ch": (corpora.main, "open2ch", "x.tsv", *OUT),
    "pairs": (corpora.main, "pairs", "d/train.src", "d/train.tgt", *OUT),
    "ptb": (corpora.main, "ptb", "ptb", *OUT),
    "realpersonachat": (corpora.main, "realpersonachat", "r", *OUT),
    "synthetic_persona_chat": (corpora.main, "synthetic_persona_chat", "x_test.csv", *OUT),
    "clean": (clean.main, "x.jsonl", *OUT),
    "split": (split.main, "x.jsonl", *OUT, "--valid", "1", "--test", "1"),
    "personas": (personas.main, "x.jsonl", *OUT, "--valid", "1", "--test", "1", "--min-turns", "1"),
    "subwords": (subwords.main, "d", "--vocab-size", "40", "--threads", "1"),
    "vectors": (vectors.main, "d", *OUT, "--dimension", "4", "--min-count", "1"),
}


@cache
def parser(name: str) -> argparse.ArgumentParser:
    """Of one of the commands."""
    main = COMMANDS[name][0]
    return parser_of(main, name) if main is corpora.main else parser_of(main)


@pytest.mark.parametrize("name", COMMANDS)
@given(st.data())
def test_flags(name, data):
    if name == "vectors":
        pytest.importorskip("gensim")
    main, *words = COMMANDS[name]
    with folder() as here:
        packed(here, INPUTS)
        outcome(main, *words, *data.draw(flags(parser(name))))


@DEAR
@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("jmespath", ("json", "dialogues.json", *OUT, "--turns", "turns")),
        ("duckdb", ("table", "v.txt", *OUT, "--text", "line")),
    ],
)
@given(st.data())
def test_flags_of_readers_of_anything(package, words, data):
    pytest.importorskip(package)
    with folder() as here:
        packed(here, INPUTS)
        outcome(corpora.main, *words, *data.draw(flags(parser_of(corpora.main, words[0]))))


@DEAR
@given(st.data())
def test_flags_of_tweets(data):
    if importlib.util.find_spec("duckdb") is None:
        pytest.skip("duckdb is not installed")
    from .corpora.test_tweets import TWEETS, tsv

    with folder() as here:
        packed(here, {"t/x.tsv": b"".join(tsv(*tweet) for tweet in TWEETS)})
        outcome(corpora.main, "tweets", "t", *OUT, *data.draw(flags(parser_of(corpora.main, "tweets"))))
