"""Splitting: pairs by hand, and a split that depends on nothing but seed and conversation ids."""

import errno
import json
import random
import subprocess
import sys
from itertools import pairwise

import pytest

from fairseq_latent.errors import InputError
from preprocess.conversation import Conversation, Turn, part_id, whole_id, write_conversations
from preprocess.split import pairs, parse_share, position, split

FILES = {f"{side}.{field}" for side in ("train", "valid", "test") for field in ("src", "tgt", "ids")} | {"split.json"}


def talk(name, turns=3):
    return Conversation(name, tuple(Turn("AB"[i % 2], f"{name} says {i}") for i in range(turns)))


def talks(count, first=0):
    return [talk(f"c{number}") for number in range(first, first + count)]


@pytest.fixture
def run_split(tmp_path):
    """Writes conversations, splits them, returns {side: its lines of ids}."""

    def run(conversations, valid=0.2, test=0.2, seed=1, context_turns=1, out="out"):
        write_conversations(tmp_path / "c", conversations)
        split(tmp_path / "c", tmp_path / out, context_turns, valid, test, seed)
        read = ((side, tmp_path / out / f"{side}.ids") for side in ("train", "valid", "test"))
        return {side: path.read_text().splitlines() for side, path in read if path.exists()}

    return run


def wholes(lines):
    return {whole_id(line.rpartition(":")[0]) for line in lines}


def test_pairs_by_hand():
    conversation = Conversation("c", tuple(Turn("AB"[i % 2], text) for i, text in enumerate("abcd")))
    found = [(pair.id, pair.source, pair.target) for pair in pairs(conversation, context_turns=2)]
    assert found == [("c:1", "a", "b"), ("c:2", "a <eot> b", "c"), ("c:3", "b <eot> c", "d")]
    assert [pair.source for pair in pairs(conversation, 1)] == ["a", "b", "c"]
    assert [pair.source for pair in pairs(conversation, 9)] == ["a", "a <eot> b", "a <eot> b <eot> c"]


def test_files_are_parallel_and_complete(run_split, tmp_path):
    conversations = [*talks(50), talk("alone", turns=1)]
    ids = run_split(conversations, context_turns=2)
    expected = {pair.id: (pair.source, pair.target) for c in conversations for pair in pairs(c, 2)}
    written = {}
    for side in ("train", "valid", "test"):
        sources, targets = ((tmp_path / "out" / f"{side}.{field}").read_text().splitlines() for field in ("src", "tgt"))
        written |= dict(zip(ids[side], zip(sources, targets, strict=True), strict=True))
    assert written == expected
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    report = json.loads((tmp_path / "out" / "split.json").read_text())
    assert report["without_reply"] == 1
    assert (report["seed"], report["context_turns"], report["valid"]) == (1, 2, 0.2)
    for side, count in report["splits"].items():
        assert count == {"conversations": len(wholes(ids[side])), "pairs": len(ids[side])}


def test_no_conversation_on_two_sides_even_when_cut(run_split):
    conversations = [talk(part_id(f"c{number}", part)) for number in range(40) for part in (1, 2, 3)]
    ids = run_split(conversations)
    sides = [wholes(lines) for lines in ids.values()]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 40


@pytest.mark.parametrize(("valid", "test"), [(0.2, 0.3), (7, 5), (0.2, 5)])
def test_order_does_not_matter_and_the_seed_does(run_split, valid, test):
    conversations = talks(100)
    first = run_split(conversations, valid, test)
    random.Random(1).shuffle(conversations)
    again = run_split(conversations, valid, test)
    other = run_split(conversations, valid, test, seed=2)
    assert {side: sorted(lines) for side, lines in again.items()} == {side: sorted(x) for side, x in first.items()}
    assert wholes(other["test"]) != wholes(first["test"])


def test_adding_conversations_moves_none(run_split):
    before, after = run_split(talks(100)), run_split(talks(300))
    for side in before:
        assert set(before[side]) <= set(after[side])


def test_numbers_are_exact_and_fractions_fair(run_split):
    ids = run_split(talks(60), valid=7, test=1)
    assert {side: len(wholes(lines)) for side, lines in ids.items()} == {"train": 52, "valid": 7, "test": 1}
    places = [position(1, str(number)) for number in range(10_000)]
    # binomial, p = .05: standard deviation sqrt(10000 * .05 * .95) = 21.8
    assert abs(sum(place < 0.05 for place in places) - 500) < 5 * 21.8
    assert all(0 <= place < 1 for place in places)


def test_zero_writes_no_such_side_and_takes_no_leftovers(run_split, tmp_path):
    assert set(run_split(talks(30), test=0)) == {"train", "valid"}
    run_split(talks(30), out="full")
    with pytest.raises(InputError, match="test files of an earlier run; remedy"):
        run_split(talks(30), test=0, out="full")
    assert {path.name for path in (tmp_path / "full").iterdir()} == FILES


@pytest.mark.parametrize(
    ("conversations", "shares", "words"),
    [
        ([], (1, 1), "no conversations"),
        (talks(2), (1, 1), "2 conversations have a reply.* need 3 or more"),
        ([talk(str(number), turns=1) for number in range(9)], (1, 1), "0 conversations have a reply"),
        (talks(9), (5, 5), "need 11 or more"),
        (talks(50), (0.5, 0.5), "leave none to train on"),
        (talks(50), (0.9, 20), "leave none to train on"),
        (talks(5), (0.001, 1), r"valid gets none of 5 conversations with --valid 0.001; remedy: .*--valid 1"),
        ([Conversation("c", (Turn("A", "a\u2028b"), Turn("B", "c")))], (1, 1), "line break; remedy: .*clean"),
        ([Conversation("c", (Turn("A", "a <eot> b"), Turn("B", "c")))], (1, 1), "contains the symbol <eot>"),
        ([Conversation("c", (Turn("A", " "), Turn("B", "c")))], (1, 1), r"turns\[0\] is empty"),
    ],
)
def test_what_cannot_be_split_is_refused_before_anything_is_written(run_split, tmp_path, conversations, shares, words):
    with pytest.raises(InputError, match=words):
        run_split(conversations, *shares)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("failing", range(1, 60, 7))
def test_full_disk_leaves_the_old_files(run_split, tmp_path, monkeypatch, failing):
    run_split(talks(30))
    old = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    calls = iter(range(1, 10_000))

    def full(conversation, context_turns):
        if next(calls) == failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pairs(conversation, context_turns)

    monkeypatch.setattr("preprocess.split.pairs", full)
    with pytest.raises(OSError, match="No space left") as caught:
        run_split(talks(60))
    assert caught.value.filename == str(tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == old


@pytest.mark.parametrize(("text", "share"), [("0", 0), ("500", 500), ("0.05", 0.05), (".5", 0.5), ("1", 1)])
def test_share(text, share):
    assert (parse_share(text), type(parse_share(text))) == (share, type(share))


def test_command(tmp_path):
    write_conversations(tmp_path / "c", talks(40))
    arguments = [sys.executable, "-m", "preprocess.split", str(tmp_path / "c"), "--out", str(tmp_path / "out")]
    done = subprocess.run([*arguments, "--valid", "3", "--test", "2"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[:4:1] for row in rows[:3]] == [
        [side, str(count), "conversations", str(2 * count)]
        for side, count in (("train", 35), ("valid", 3), ("test", 2))
    ]
    for bad in ("1.0", "-1", "5%", "nan"):
        done = subprocess.run([*arguments, "--valid", bad], capture_output=True, text=True)
        assert done.returncode == 2
        assert "--valid" in done.stderr


def test_no_target_is_in_its_own_context():
    conversation = talk("c", turns=6)
    found = list(pairs(conversation, 3))
    assert all(pair.target not in pair.source for pair in found)
    assert all(before.target == after.source.split(" <eot> ")[-1] for before, after in pairwise(found))
