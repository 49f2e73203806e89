"""The DailyDialog reader, on self-written dialogues in ConvLab-3's form."""

import json
import subprocess
import sys
from collections import Counter

import pytest

from fairseq_latent.errors import InputError
from preprocess.check import check
from preprocess.conversation import Conversation, Turn, read_conversations
from preprocess.corpora import __main__ as corpora
from preprocess.corpora import dailydialog
from tests.helpers.releases import packed, real


def dialogue(split, number, *texts):
    turns = [
        {"speaker": ("user", "system")[index % 2], "utterance": text, "utt_idx": index, "emotion": "no emotion"}
        for index, text in enumerate(texts)
    ]
    return {
        "dataset": "own",
        "data_split": split,
        "dialogue_id": f"own-{split}-{number}",
        "domains": [],
        "turns": turns,
    }


OWN = [
    dialogue("train", 0, "Is it raining?", "Not yet."),
    dialogue("train", 1, "Tea?", "Please, with “milk”.", "Here."),
    dialogue("validation", 0, "Bye!", "Bye."),
    dialogue("test", 0, "Where is it?", "There, [look]: {\\}"),
]


@pytest.fixture
def release(tmp_path):
    files = {"data/ontology.json": "{}", "data/dialogues.json": json.dumps(OWN, indent=2)}
    return packed(tmp_path / "data.zip", files)


def test_conversations(release):
    counts = Counter()
    conversations = list(dailydialog.read_dailydialog(release, counts=counts))
    assert conversations[0] == Conversation(
        "own-train-0",
        (Turn("user", "Is it raining?"), Turn("system", "Not yet.")),
        lang="en",
        source="dailydialog",
    )
    assert [turn.text for turn in conversations[3].turns] == ["Where is it?", "There, [look]: {\\}"]
    assert counts == {"conversations": 4, "turns": 2 + 3 + 2 + 2}


@pytest.mark.parametrize(("split", "expected"), [("train", 2), ("validation", 1), ("test", 1), ("all", 4)])
def test_splits(release, split, expected):
    conversations = list(dailydialog.read_dailydialog(release, split))
    assert len(conversations) == expected
    assert split == "all" or all(split in conversation.id for conversation in conversations)


@pytest.mark.parametrize("indent", [None, 2])
def test_the_unpacked_file(release, tmp_path, indent):
    (tmp_path / "dialogues.json").write_text(json.dumps(OWN, indent=indent))
    unpacked = dailydialog.read_dailydialog(tmp_path / "dialogues.json")
    assert list(unpacked) == list(dailydialog.read_dailydialog(release))


def test_command(release, tmp_path):
    out = tmp_path / "c.jsonl"
    arguments = [
        sys.executable,
        "-m",
        "preprocess.corpora",
        "dailydialog",
        str(release),
        "--split",
        "train",
        "--out",
        str(out),
    ]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"4 conversations, 9 turns read, 2 of other splits left out, 2 kept -> {out}\n"
    assert [conversation.id for conversation in read_conversations(out)] == ["own-train-0", "own-train-1"]


def test_command_with_a_damaged_file(release, tmp_path):
    release.write_bytes(release.read_bytes()[:-30])
    out = tmp_path / "c.jsonl"
    arguments = [sys.executable, "-m", "preprocess.corpora", "dailydialog", str(release), "--out", str(out)]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {release}: damaged or not what its name says (")
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.zip"]


def changed(**keys):
    return json.dumps([OWN[0], {**OWN[1], **keys}], indent=None).replace("}, {", "},\n{")


TEXT = json.dumps(OWN, indent=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: not a JSON list of dialogues; remedy: "),
        ("{}", ":1: not a JSON list of dialogues; remedy: "),
        ("[]", " has no conversations of --split all; remedy: "),
        ("[1]", r":1: not as the corpus is released \(.*\); remedy: "),
        (TEXT[: TEXT.index("Not yet")], r":\d+: no JSON \(Unterminated string.*\); remedy: "),
        (TEXT[: TEXT.rindex("]")], r":\d+: no JSON \(Expecting value.*\); remedy: "),
        (TEXT.replace("Please", "\udcff"), r":\d+: invalid UTF-8; remedy: "),
        (changed(turns=[]), r":\d+: not as the corpus is released \(turns must be .*\); remedy: "),
        (changed(turns=[{"speaker": "user"}]), r":\d+: not as the corpus is released \(no key 'utterance'\); remedy: "),
        (
            changed(turns=[{"speaker": "user", "utterance": 3}]),
            r":\d+: not .* \(turns\[0\]: text must be a string, not 3",
        ),
        (changed(turns=7), r":\d+: not as the corpus is released \(.*not iterable\); remedy: "),
        (changed(dialogue_id=7), r":\d+: not as the corpus is released \(.*id must be a string, not 7\); remedy: "),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    path = tmp_path / "dialogues.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=f"dialogues.json{message}"):
        list(dailydialog.read_dailydialog(path))


def test_errors_name_the_line_of_the_dialogue(tmp_path):
    path = tmp_path / "dialogues.json"
    path.write_text("[\n" + ",\n".join(map(json.dumps, OWN)) + ",\n{}]")  # line 1 is [
    with pytest.raises(InputError, match=r"dialogues\.json:6: not as the corpus is released \(no key 'data_split'\)"):
        list(dailydialog.read_dailydialog(path))


def test_a_split_that_is_not_there(tmp_path):
    path = tmp_path / "dialogues.json"
    path.write_text(json.dumps(OWN[:1]))
    with pytest.raises(InputError, match="no conversations of --split test; remedy: --split all"):
        list(dailydialog.read_dailydialog(path, "test"))


def test_another_archive(tmp_path):
    path = packed(tmp_path / "other.zip", {"data/ontology.json": "{}"})
    with pytest.raises(InputError, match=r"has no dialogues\.json, but ontology\.json; remedy: "):
        list(dailydialog.read_dailydialog(path))


def test_the_released_corpus(tmp_path, capsys):
    release = real("dialogue_en/dailydialog_convlab3_data.zip")
    for split, kept in {"train": 11_118, "validation": 1000, "test": 1000, "all": 13_118}.items():
        corpora.main(["dailydialog", str(release), "--split", split, "--out", str(tmp_path / "c.jsonl")])
        printed = capsys.readouterr().out
        left = f"{13_118 - kept:,} of other splits left out, {kept:,} kept"
        assert printed.startswith(f"13,118 conversations, 102,979 turns read, {left} -> ")
    summary = check(str(tmp_path / "c.jsonl"))
    assert (summary.conversations, summary.words.total()) == (13_118, 102_979)
