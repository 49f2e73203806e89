"""The Synthetic-Persona-Chat reader, on self-written tables in its form."""

import csv
import io
import subprocess
import sys
from collections import Counter

import pytest

from fairseq_latent.errors import InputError
from preprocess.check import check
from preprocess.conversation import Conversation, Turn, read_conversations
from preprocess.corpora import __main__ as corpora
from preprocess.corpora import synthetic_persona_chat
from tests.helpers.releases import packed, real

HEADER = ("user 1 personas", "user 2 personas", "Best Generated Conversation")
PLAIN = ("I ski.\nI am tall.", "I cook.", "User 1: Hi, you!\n\nUser 2: Hello: there\nUser 1: *waves*")
STARRED = ("I swim.", "I cook.", "* * *\n**User 1:** Hi!\n* User 2: Hello. *\n[They leave.]\nUser 2: Bye")
NOBODY = ("I run.", "I read.", "Hi!\nHello!")


def table(*rows, header=HEADER):
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    return text.getvalue()


def read(path, split="all", counts=None):
    return list(synthetic_persona_chat.read_synthetic_persona_chat(path, split, counts))


@pytest.fixture
def release(tmp_path):
    tables = {"own_test.csv": table(PLAIN), "own_valid.csv": table(STARRED, NOBODY), "README.md": "own"}
    return packed(tmp_path / "own.tar.xz", {f"d/{name}": text for name, text in tables.items()})


def test_conversations(release):
    counts = Counter()
    plain, starred = read(release, counts=counts)
    assert plain == Conversation(
        "own_test-1",
        (Turn("1", "Hi, you!"), Turn("2", "Hello: there"), Turn("1", "*waves*")),
        {"1": ("I ski.", "I am tall."), "2": ("I cook.",)},
        "en",
        "synthetic_persona_chat",
    )
    assert starred.id == "own_valid-1"
    assert starred.turns == (Turn("1", "Hi!"), Turn("2", "Hello."), Turn("2", "Bye"))
    # left out: the conversation whose lines name nobody; in the one with asterisks, "* * *" and what they do
    assert counts["conversations"] == 3
    assert (counts["without speakers"], counts["lines"], counts["turns"], counts["personas"]) == (1, 2, 6, 3)


def test_splits(release, tmp_path):
    assert [each.id for each in read(release, "valid")] == ["own_valid-1"]
    assert [each.id for each in read(release, "test")] == ["own_test-1"]
    with pytest.raises(InputError, match=r"has no \*_train\.csv, but .*own_valid\.csv.*; remedy: "):
        read(release, "train")
    (tmp_path / "own_test.csv").write_text(table(PLAIN), newline="")
    assert read(tmp_path / "own_test.csv") == read(tmp_path / "own_test.csv", "test") == read(release, "test")
    with pytest.raises(InputError, match=r"has no \*_valid\.csv, but own_test\.csv; remedy: "):
        read(tmp_path / "own_test.csv", "valid")


def test_columns_are_found_by_name(tmp_path):
    text = table(("0", *PLAIN[::-1]), header=("", *HEADER[::-1]))
    (tmp_path / "own_test.csv").write_text(text, newline="")
    (conversation,) = read(tmp_path / "own_test.csv")
    assert conversation.personas["1"] == ("I ski.", "I am tall.")


def test_rows_without_personas_are_left_out(tmp_path):
    (tmp_path / "own.csv").write_text(table(("", "I cook.", PLAIN[2]), PLAIN), newline="")
    counts = Counter()
    assert [each.id for each in read(tmp_path / "own.csv", counts=counts)] == ["own-2"]
    assert counts["without personas"] == 1


def test_command(release, tmp_path):
    out = tmp_path / "c.jsonl"
    arguments = [sys.executable, "-m", "preprocess.corpora", "synthetic_persona_chat", str(release), "--out", str(out)]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "3 conversations read, 0 without both personas and 1 without speakers left out, 2 conversations, 6 turns, "
        f"3 personas kept, 2 lines of no speaker left out of them -> {out}\n"
    )
    assert list(read_conversations(out)) == read(release)


WHOLE = table(PLAIN).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", ":1: no column 'user 1 personas'; remedy: "),
        (b"a,b,c\n", ":1: no column 'user 1 personas'; remedy: "),
        (table(header=HEADER[:2]).encode(), ":1: no column 'best generated conversation'; remedy: "),
        (table().encode(), " has no conversations; remedy: "),
        (table(NOBODY).encode(), " has no conversations; remedy: "),
        (WHOLE + b"a,b\n", ":7: 2 fields, not 3; remedy: "),  # PLAIN takes the lines 2 to 6
        (WHOLE + b"a,b,c,d\n", ":7: 4 fields, not 3; remedy: "),
        (WHOLE[:-5], r":6: no CSV \(unexpected end of data\); remedy: "),
        (WHOLE + b'"a"b,c,d\n', r":7: no CSV \(.*\); remedy: "),
        (WHOLE + b"a,\xff,c\n", ":7: invalid UTF-8 at byte 2 of the line; remedy: "),
        (WHOLE + b"x" * 200_000, r":7: no CSV \(field larger than field limit.*\); remedy: "),
    ],
)
def test_other_files_are_refused(tmp_path, data, message):
    (tmp_path / "own.csv").write_bytes(data)
    with pytest.raises(InputError, match=f"own.csv{message}"):
        read(tmp_path / "own.csv")


def test_a_cut_archive_leaves_no_output(release, tmp_path):
    release.write_bytes(release.read_bytes()[:-60])
    with pytest.raises(InputError, match=r"own\.tar\.xz\S*: damaged .*; remedy: "):
        corpora.main(["synthetic_persona_chat", str(release), "--out", str(tmp_path / "c.jsonl")])
    assert [path.name for path in tmp_path.iterdir()] == ["own.tar.xz"]


def test_the_released_corpus(tmp_path, capsys):
    release = real("persona_en/synthetic_persona_chat_valid_test.tar.xz")
    corpora.main(["synthetic_persona_chat", str(release), "--out", str(tmp_path / "c.jsonl")])
    assert capsys.readouterr().out.startswith(
        "1,968 conversations read, 0 without both personas and 2 without speakers left out, 1,966 conversations, "
        "54,320 turns, 1,065 personas kept, 173 lines of no speaker left out of them -> "
    )
    summary = check(str(tmp_path / "c.jsonl"))
    assert (summary.conversations, summary.words.total(), summary.with_personas) == (1966, 54_320, 1966)
