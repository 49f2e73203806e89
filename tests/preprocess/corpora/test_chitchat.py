"""The Chit-Chat reader: turns by hand on own text, counts on the packaged corpus where it is installed."""

import json
import subprocess
import sys
from collections import Counter

import pytest

from fairseq_latent.errors import InputError
from preprocess.conversation import Turn, read_conversations
from preprocess.corpora import chitchat


def message(sender, text, time):
    return {"sender": sender, "text": text, "timestamp": time}


OWN = {
    "x": {
        "messages": [
            [message("p", "Hi", "t1"), message("p", "you there?", "t2")],
            [message("q", "Yes", "t3")],
        ],
        "start": "t0",
    },
    "empty": {"messages": [], "start": "t0"},
}


@pytest.fixture
def dataset(tmp_path):
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(OWN))
    return path


def test_messages_of_one_sender_are_one_turn(dataset):
    counts = Counter()
    (conversation,) = chitchat.read_chitchat(dataset, counts)
    assert conversation.id == "x"
    assert conversation.turns == (Turn("p", "Hi you there?", time="t1"), Turn("q", "Yes", time="t3"))
    assert counts == {"conversations": 2, "messages": 3}


def test_command(dataset, tmp_path):
    out = tmp_path / "c.jsonl"
    arguments = [sys.executable, "-m", "preprocess.corpora", "chitchat", "--dataset", str(dataset), "--out", str(out)]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"2 conversations, 3 messages read, 1 kept -> {out}\n"
    assert [conversation.id for conversation in read_conversations(out)] == ["x"]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[" * 20_000,
        "[]",
        '{"x": {}}',
        '{"x": {"messages": [null]}}',
        '{"x": {"messages": [[{"text": "a"}]]}}',
        '{"x": 1}',
    ],
)
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(InputError, match="remedy: pip install"):
        list(chitchat.read_chitchat(tmp_path / "dataset.json"))


def test_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'fairseq_latent\[quickstart\]'"):
        list(chitchat.read_chitchat())


def test_whole_corpus():
    try:
        chitchat.packaged_file()
    except InputError as missing:
        pytest.skip(str(missing))
    counts = Counter()
    conversations = list(chitchat.read_chitchat(counts=counts))
    assert counts == {"conversations": 7168, "messages": 258_145}  # as the package's own page says
    assert "chitchat_dataset" not in sys.modules
    assert len({conversation.id for conversation in conversations}) == len(conversations)
    for conversation in conversations:
        speakers = [turn.speaker for turn in conversation.turns]
        assert all(one != other for one, other in zip(speakers, speakers[1:], strict=False))
