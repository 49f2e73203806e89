"""conversations.jsonl: what is written is read again, every kind of bad line is named, files are whole."""

import errno
import gzip
import json

import pytest

from fairseq_latent.errors import InputError
from preprocess import conversation as module
from preprocess.conversation import Conversation, Turn, part_id, read_conversations, whole_id, write_conversations

TALK = Conversation("c1", (Turn("A", "Tea?"), Turn("B", "Yes, please ☕", id="t2", time="2020-01-01T00:00:00Z")))
FULL = Conversation("c2", (Turn("A", "a\u2028b\x85c\n"),), {"A": ("I like tea.",), "B": ()}, "en", "own")
OFFERED = Conversation("c3", (Turn("A", "Tea?"), Turn("B", "Yes.", candidates=("No,\u2028no.", "", "Yes."))))


@pytest.mark.parametrize("name", ["c.jsonl", "c.jsonl.gz"])
def test_what_is_written_is_read_again(tmp_path, name):
    assert write_conversations(tmp_path / name, [TALK, FULL, OFFERED]) == 3
    assert list(read_conversations(tmp_path / name)) == [TALK, FULL, OFFERED]


def test_candidates_stand_in_the_turn_they_were_offered_for():
    assert module.record_of(OFFERED)["turns"] == [
        {"speaker": "A", "text": "Tea?"},
        {"speaker": "B", "text": "Yes.", "candidates": ["No,\u2028no.", "", "Yes."]},
    ]


def test_gzip_holds_the_same_bytes_and_no_time_stamp(tmp_path):
    for name in ("a.jsonl", "a.jsonl.gz", "b.jsonl.gz"):
        write_conversations(tmp_path / name, [TALK])
    assert gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()) == (tmp_path / "a.jsonl").read_bytes()
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_no_tool_splits_a_conversation(tmp_path):
    write_conversations(tmp_path / "c", [FULL, OFFERED])
    assert len((tmp_path / "c").read_text("utf-8").splitlines()) == 3  # the header and the conversations


def test_reading_streams(tmp_path):
    path = tmp_path / "c"
    write_conversations(path, [TALK])
    with path.open("a") as file:
        file.write("broken\n")
    reader = read_conversations(path)
    assert next(reader) == TALK
    with pytest.raises(InputError):
        next(reader)


def test_header_byte_order_mark_and_missing_line_end_are_optional(tmp_path):
    line = json.dumps(module.record_of(TALK))
    header = '{"format": "conversations", "version": 1}'
    for text in (line, f"{line}\n", f"\ufeff{header}\r\n{line}\r\n"):
        (tmp_path / "c").write_bytes(text.encode())
        assert list(read_conversations(tmp_path / "c")) == [TALK]


GOOD_TURNS = '"turns": [{"speaker": "A", "text": "x"}]'
BAD = {
    "": "line is empty",
    "{": "no JSON",
    "[" * 100_000: "no JSON",
    "[]": "not a JSON object",
    '{"id": "x"}': "no 'turns'",
    f"{{{GOOD_TURNS}}}": "no 'id'",
    f'{{"id": 7, {GOOD_TURNS}}}': "id must be a string, not 7",
    f'{{"id": "", {GOOD_TURNS}}}': "id '' is empty",
    f'{{"id": "a\\nb", {GOOD_TURNS}}}': "invisible",
    f'{{"id": "x", "speakr": 1, {GOOD_TURNS}}}': "unknown key 'speakr'; remedy: remove it, the keys are id, turns, per",
    '{"id": "x", "turns": []}': "one turn or more",
    '{"id": "x", "turns": ["hello"]}': "turns[0] must be a JSON object",
    '{"id": "x", "turns": [{"speaker": "A", "text": "x"}, {"speaker": "B"}]}': "turns[1] has no 'text'",
    '{"id": "x", "turns": [{"speaker": "A", "text": "x", "tiem": ""}]}': "unknown key 'tiem'",
    '{"id": "x", "turns": [{"speaker": " ", "text": "x"}]}': "speaker is empty",
    '{"id": "x", "turns": [{"speaker": "A", "text": null}]}': "text must be a string",
    '{"id": "x", "turns": [{"speaker": "A", "text": "\\ud83d"}]}': "surrogate",
    '{"id": "x", "turns": [{"speaker": "A", "text": "x", "candidates": "x"}]}': "turns[0]: candidates must be a list",
    '{"id": "x", "turns": [{"speaker": "A", "text": "x", "candidates": []}]}': "list of one string or more",
    '{"id": "x", "turns": [{"speaker": "A", "text": "x", "candidates": ["x", 7]}]}': "list of one string or more",
    f'{{"id": "x", "personas": {{"A": "tea"}}, {GOOD_TURNS}}}': "personas must map",
    f'{{"id": "x", "lang": 1, {GOOD_TURNS}}}': "lang must be a string",
    f'{{"id": "c1", {GOOD_TURNS}}}': "'c1' stands in line 2 too",
}


@pytest.mark.parametrize("line", BAD, ids=range(len(BAD)))
def test_bad_line_is_named(tmp_path, line):
    path = tmp_path / "c"
    write_conversations(path, [TALK])
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError) as caught:
        list(read_conversations(path))
    message = str(caught.value)
    assert message.startswith(f"{path}:3: ")
    assert BAD[line] in message
    assert "remedy" in message
    assert "\n" not in message
    assert len(message) < 500


@pytest.mark.parametrize("line", [line for line in BAD if "stands in line" not in BAD[line]], ids=range(len(BAD) - 1))
def test_blocks_of_lines_are_checked_as_strictly(line):
    """But for ids used twice, as documented."""
    good = [module.record_of(each) for each in (TALK, FULL, OFFERED)]
    data = b"".join(map(module.dump_record, good))
    assert list(module.checked_records("c", 2, data)) == list(enumerate(good, 2))
    with pytest.raises(InputError) as caught:
        list(module.checked_records("c", 2, data + line.encode() + b"\n"))
    assert str(caught.value).startswith("c:5: ") and BAD[line] in str(caught.value)


def test_invalid_utf8_is_named_and_can_be_passed_over(tmp_path):
    path = tmp_path / "c"
    write_conversations(path, [TALK])
    good = path.read_bytes()
    path.write_bytes(good + b'{"id": "\xff"}\n' + json.dumps(module.record_of(FULL)).encode())
    errors = []
    assert list(read_conversations(path, on_error=errors.append)) == [TALK, FULL]
    assert [str(error).startswith(f"{path}:3: invalid UTF-8 at byte 8") for error in errors] == [True]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ('{"format": "conversations", "version": 2}', "newer"),
        ('{"format": "pairs", "version": 1}', "not a conversations file"),
        ('{"format": "conversations"}', "not a conversations file"),
    ],
)
def test_other_versions_are_refused(tmp_path, header, words):
    (tmp_path / "c").write_text(header + "\n")
    with pytest.raises(InputError, match=words):
        list(read_conversations(tmp_path / "c"))


def test_cut_gzip_file_is_refused(tmp_path):
    path = tmp_path / "c.gz"
    write_conversations(path, [TALK, FULL])
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(InputError, match="damaged gzip"):
        list(read_conversations(path))


@pytest.mark.parametrize(
    "bad",
    [
        [TALK, TALK],
        [Conversation("x", ())],
        [Conversation("x", (Turn("A", "\ud83d"),))],
        [Conversation("x", (Turn("A", "y", candidates=()),))],
    ],
    ids=["same id", "no turns", "surrogate", "no candidates"],
)
def test_what_could_not_be_read_is_not_written(tmp_path, bad):
    path = tmp_path / "c"
    write_conversations(path, [FULL])
    with pytest.raises(InputError, match="cannot be written"):
        write_conversations(path, bad)
    assert list(read_conversations(path)) == [FULL]
    assert [entry.name for entry in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_stopped_in_the_middle_leaves_the_old_file(tmp_path, error):
    def stopped():
        yield TALK
        raise error

    path = tmp_path / "c.gz"
    write_conversations(path, [FULL])
    with pytest.raises(type(error)):
        write_conversations(path, stopped())
    assert list(read_conversations(path)) == [FULL]
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.gz"]


def test_part_ids():
    assert [part_id("c", number) for number in (1, 2, 10)] == ["c", "c#part2", "c#part10"]
    for name in ("c", "c#2", "#part2", "c#partner", "c#part"):
        assert whole_id(name) == name
        assert whole_id(part_id(name, 3)) == name
        assert whole_id(part_id(part_id(f"{name}#branch2", 3), 4)) == name
