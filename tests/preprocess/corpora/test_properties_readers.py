"""Property tests: whatever stands in a corpus, its reader ends in success or in one line."""

import bz2
import gzip
import json
import lzma
import time
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.check import check
from preprocess.corpora import __main__ as corpora
from tests.helpers.hostile import altered, edited, folder, outcome, refused_or_written
from tests.helpers.releases import packed

from .test_chitchat import OWN as CHITCHAT
from .test_convai2 import SKI, TEA, episode, first_side, second_side
from .test_dailydialog import OWN as DAILYDIALOG
from .test_open2ch import DEV
from .test_ptb import FILES as PTB
from .test_realpersonachat import FIRST, PERSONAS
from .test_synthetic_persona_chat import NOBODY, PLAIN, STARRED, table

CONVAI2 = episode(TEA, SKI, first_side()) + episode(SKI, TEA, second_side()) + episode(TEA, (), [("a", "b\t\tno .|b")])
COMPRESSED = {"": bytes, ".gz": partial(gzip.compress, mtime=0), ".xz": lzma.compress, ".bz2": bz2.compress}
ARCHIVES = ("x.zip", "x.tar", "x.tar.gz", "x.tar.xz", "x.tar.bz2")


@cache
def archive(name: str, inner: str) -> bytes:
    """An archive whose bytes are the same every time."""
    with folder() as here, mock.patch("time.time", return_value=1e9), mock.patch("time.localtime", time.gmtime):
        return packed(here / name, {"README": "x", inner: DEV}).read_bytes()


def text_of(value: object) -> bytes:
    """JSON as somebody may write it, what is no number and half of a surrogate pair included."""
    return json.dumps(value, ensure_ascii=True).encode()


def written(corpus: str, files: Mapping[str, bytes], given: str, *flags: str) -> None:
    """Run a reader on files; what it wrote, `preprocess.check` accepts."""
    with folder() as here:
        packed(here, files)
        out = here / "out.jsonl"
        found = outcome(corpora.main, corpus, here / given, "--out", out, *flags)
        refused_or_written(found, out)
        if not found.code:
            check(str(out))


@given(altered(CHITCHAT).map(text_of) | edited(text_of(CHITCHAT)))
def test_chitchat(data):
    with folder() as here:
        (here / "dataset.json").write_bytes(data)
        found = outcome(corpora.main, "chitchat", "--dataset", here / "dataset.json", "--out", here / "out.jsonl")
        refused_or_written(found, here / "out.jsonl")


@given(edited(CONVAI2.encode()))
def test_convai2(data):
    written("convai2", {"x.txt": data}, "x.txt")


@given(altered(DAILYDIALOG).map(text_of) | edited(text_of(DAILYDIALOG)), st.sampled_from(("all", "train")))
def test_dailydialog(data, split):
    written("dailydialog", {"dialogues.json": data}, "dialogues.json", "--split", split)


@given(edited(DEV.encode()), st.sampled_from(((), ("--unlabelled",), ("--split", "x"))))
def test_open2ch(data, flags):
    written("open2ch", {"x.tsv": data}, "x.tsv", *flags)


@given(altered(FIRST).map(text_of) | edited(text_of(FIRST)), altered(PERSONAS).map(text_of) | edited(text_of(PERSONAS)))
def test_realpersonachat(dialogue, personas):
    written("realpersonachat", {"x/dialogues/1.json": dialogue, "x/interlocutors.json": personas}, "x")


@given(edited(table(PLAIN, STARRED, NOBODY).encode()))
def test_synthetic_persona_chat(data):
    written("synthetic_persona_chat", {"x_test.csv": data}, "x_test.csv")


@given(edited(b"a <eot> b\nc <eot>\nd\n"), edited(b"e\nf\ng\n"))
def test_pairs(source, target):
    with folder() as here:
        packed(here, {"x.src": source, "x.tgt": target})
        found = outcome(corpora.main, "pairs", here / "x.src", here / "x.tgt", "--out", here / "out.jsonl")
        refused_or_written(found, here / "out.jsonl")


@given(*(edited(PTB[f"ptb/{split}.txt"].encode()) for split in ("train", "valid", "test")))
def test_ptb(train, valid, test):
    with folder() as here:
        packed(here, {"x/train.txt": train, "x/valid.txt": valid, "x/test.txt": test})
        found = outcome(corpora.main, "ptb", here / "x", "--out", here / "out")
        refused_or_written(found, here / "out")


@pytest.mark.parametrize("name", ARCHIVES)
@given(st.data())
def test_damaged_archives(name, data):
    """One byte of the archive or more is another, or some are missing; names in it may lead anywhere."""
    inner = data.draw(
        st.sampled_from(("dev.tsv", "../dev.tsv", "/dev.tsv", "a/\xff.tsv", "dev.tsv/", "x" * 90 + "/dev.tsv"))
    )
    with folder() as here:
        (here / name).write_bytes(data.draw(edited(archive(name, inner))))
        found = outcome(corpora.main, "open2ch", here / name, "--out", here / "out.jsonl")
        refused_or_written(found, here / "out.jsonl")
        assert {path.name for path in Path(here).iterdir()} <= {name, "out.jsonl"}


@given(st.sampled_from(sorted(COMPRESSED)), st.data())
def test_compressed_files(ending, data):
    packed_text = COMPRESSED[ending](DEV.encode())
    written("open2ch", {f"x.tsv{ending}": data.draw(edited(packed_text))}, f"x.tsv{ending}")
