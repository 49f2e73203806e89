"""Parallel contexts and responses: what they become, and what is refused."""

import gzip
import subprocess
import sys
from collections import Counter

import pytest

from fairseq_latent.errors import InputError
from preprocess.conversation import Conversation, Turn, read_conversations
from preprocess.corpora import __main__ as corpora
from preprocess.corpora import pairs


@pytest.fixture
def write(tmp_path):
    def written(source, target):
        for name, data in (("own.src", source), ("own.tgt", target)):
            (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        return tmp_path / "own.src", tmp_path / "own.tgt"

    return written


def test_turns(write):
    counts = Counter()
    files = write("hello\nhi <eot> how are you ?<eot>well\n", "hi there\nand you ?\n")
    conversations = list(pairs.read_pairs(*files, lang="en", counts=counts))
    assert conversations == [
        Conversation("own-1", (Turn("A", "hello"), Turn("B", "hi there")), lang="en", source="pairs"),
        Conversation(
            "own-2",
            (Turn("A", "hi"), Turn("B", "how are you ?"), Turn("A", "well"), Turn("B", "and you ?")),
            lang="en",
            source="pairs",
        ),
    ]
    assert counts == {"pairs": 2, "empty": 0, "turns": 6}


def test_empty_turns_are_left_out(write):
    counts = Counter()
    files = write("a\n\nb\nc <eot>  <eot> d\ne <eot>\nf\n", "1\n2\n \n4\n5\n6\n")
    assert [each.id for each in pairs.read_pairs(*files, counts=counts)] == ["own-1", "own-6"]
    assert counts == {"pairs": 6, "empty": 4, "turns": 4}


def test_gzipped(tmp_path):
    for name in ("a.gz", "b.gz"):
        (tmp_path / name).write_bytes(gzip.compress("雨\n".encode()))
    (conversation,) = pairs.read_pairs(tmp_path / "a.gz", tmp_path / "b.gz")
    assert [turn.text for turn in conversation.turns] == ["雨", "雨"]
    (tmp_path / "b.gz").write_bytes((tmp_path / "b.gz").read_bytes()[:-9])
    with pytest.raises(InputError, match=r"b\.gz:\d: damaged gzip file .*; remedy: "):
        list(pairs.read_pairs(tmp_path / "a.gz", tmp_path / "b.gz"))


def test_command(write, tmp_path):
    out = tmp_path / "c.jsonl"
    files = map(str, write("a\nb <eot> c\n\n", "1\n2\n3\n"))
    arguments = [sys.executable, "-m", "preprocess.corpora", "pairs", *files, "--lang", "ja", "--out", str(out)]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"3 pairs read, 1 with an empty turn left out, 2 conversations, 5 turns kept -> {out}\n"
    assert [(each.id, each.lang) for each in read_conversations(out)] == [("own-1", "ja"), ("own-2", "ja")]


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("", "", r"own\.src is empty; remedy: "),
        ("a\n", "", r"own\.tgt is empty; remedy: "),
        ("a\nb\n", "1\n", r"own\.src has 2 lines, .*own\.tgt 1: they must be parallel; remedy: "),
        ("a\n", "1 <eot> 2\n", r"own\.tgt:1: <eot> in a response; remedy: "),
        ("\n", "1\n", r"own\.tgt have no pair without an empty turn; remedy: "),
        (b"a\n\xff\n", "1\n2\n", r"own\.src:2: invalid UTF-8 at byte 0 of the line; remedy: "),
        ("a\nb\rc\n", "1\n2\n", r"own\.src:2: a carriage return inside the line; remedy: "),
    ],
)
def test_other_files_are_refused(write, tmp_path, source, target, message):
    files = map(str, write(source, target))
    with pytest.raises(InputError, match=message):
        corpora.main(["pairs", *files, "--out", str(tmp_path / "c.jsonl")])
    assert not (tmp_path / "c.jsonl").exists()
