"""The RealPersonaChat reader, on self-written dialogues in its form."""

import json
import subprocess
import sys
from collections import Counter

import pytest

from fairseq_latent.errors import InputError
from preprocess.check import check
from preprocess.conversation import Conversation, Turn, read_conversations
from preprocess.corpora import __main__ as corpora
from preprocess.corpora import realpersonachat
from tests.helpers.releases import packed, real

PERSONAS = {
    "p": {"interlocutor_id": "p", "persona": ["海が好き。", "犬がいる。"], "personality": {"IOS": 4}},
    "q": {"interlocutor_id": "q", "persona": ["山が好き。"], "personality": {"IOS": 2}},
    "r": {"interlocutor_id": "r", "persona": ["話さない。"], "personality": {"IOS": 1}},
}


def dialogue(identity, *utterances):
    spoken = [
        {"utterance_id": index, "interlocutor_id": speaker, "text": text, "timestamp": time}
        for index, (speaker, text, time) in enumerate(utterances)
    ]
    return {"dialogue_id": identity, "interlocutors": ["p", "q"], "utterances": spoken, "evaluations": []}


FIRST = dialogue(2, ("p", "こんにちは！", "2020-01-01T10:00:00.5"), ("q", "どうも。", "NaT"))
SECOND = dialogue(2, ("q", "雨だね\n本当に", "2020-01-02T10:00:00"), ("p", "うん", "2020-01-02T10:00:09"))


def files(first=FIRST, personas=PERSONAS):
    """The personas lie behind the dialogues, as they do in the released archive; two dialogues have one number."""
    return {
        "c/dialogues/00002.json": json.dumps(first, ensure_ascii=False, indent=1),
        "c/dialogues/00007.json": json.dumps(SECOND, ensure_ascii=False),
        "c/interlocutors.json": json.dumps(personas, ensure_ascii=False),
        "README.md": "own",
    }


@pytest.mark.parametrize("kind", ["own.tar.xz", "own.tar.gz", "own.zip", "own"])
def test_conversations(tmp_path, kind):
    counts = Counter()
    conversations = list(realpersonachat.read_realpersonachat(packed(tmp_path / kind, files()), counts))
    assert conversations[0] == Conversation(
        "00002",
        (Turn("p", "こんにちは！", time="2020-01-01T10:00:00.5"), Turn("q", "どうも。")),
        {"p": ("海が好き。", "犬がいる。"), "q": ("山が好き。",)},
        "ja",
        "realpersonachat",
    )
    assert (conversations[1].id, conversations[1].turns[0].text) == ("00007", "雨だね\n本当に")
    assert counts == {"conversations": 2, "turns": 4, "personas": 2}


def test_command(tmp_path):
    release, out = packed(tmp_path / "own.tar.xz", files()), tmp_path / "c.jsonl.gz"
    arguments = [sys.executable, "-m", "preprocess.corpora", "realpersonachat", str(release), "--out", str(out)]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"2 conversations, 4 turns, 2 personas read, 2 kept -> {out}\n"
    assert list(read_conversations(out)) == list(realpersonachat.read_realpersonachat(release))


def without(key):
    return {name: value for name, value in FIRST.items() if name != key}


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (without("utterances"), r":1: not as the corpus is released \(no key 'utterances'\); remedy: "),
        (without("interlocutors"), r":1: not as the corpus is released \(no key 'interlocutors'\); remedy: "),
        ([], r":1: not as the corpus is released \(.*\); remedy: "),
        (dialogue(1), r":1: not as the corpus is released \(turns must be .*\); remedy: "),
        (dialogue(1, ("p", 3, "NaT")), r":1: not .* \(turns\[0\]: text must be a string, not 3\); remedy: "),
        (dialogue(1, ("p", "a", 3)), r":1: not .* \(turns\[0\]: time must be a string, not 3\); remedy: "),
        (dialogue(1, ("s", "a", "NaT")), r":1: not .* \(speaker 's' has no persona in interlocutors\.json\); remedy: "),
        (
            {**FIRST, "interlocutors": ["p", "s"]},
            r":1: not .* \(speaker 's' has no persona in interlocutors\.json\); remedy: ",
        ),
    ],
)
def test_dialogues_of_another_form_are_refused(tmp_path, first, message):
    with pytest.raises(InputError, match=rf"own\.zip/c/dialogues/00002\.json{message}"):
        list(realpersonachat.read_realpersonachat(packed(tmp_path / "own.zip", files(first))))


@pytest.mark.parametrize("personas", [[], {"p": {}}, {"p": 1}, {"p": {"persona": "x"}, "q": {"persona": ["y"]}}])
def test_missing_personas(tmp_path, personas):
    with pytest.raises(InputError, match=r"\.json:1: not as the corpus is released \(.*\); remedy: "):
        list(realpersonachat.read_realpersonachat(packed(tmp_path / "own.zip", files(personas=personas))))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("c/dialogues/00002.json", b'{"dialogue_id": 2,\n"utterances"', r"00002\.json:2: no JSON \(.*\); remedy: "),
        ("c/dialogues/00002.json", b'{\n"\xff": 2}', r"00002\.json:2: invalid UTF-8; remedy: "),
        ("c/dialogues/00002.json", b"", r"00002\.json:1: no JSON \(.*\); remedy: "),
        ("c/interlocutors.json", b"{", r"interlocutors\.json:1: no JSON \(.*\); remedy: "),
    ],
)
def test_broken_members(tmp_path, name, data, message):
    with pytest.raises(InputError, match=message):
        list(realpersonachat.read_realpersonachat(packed(tmp_path / "own.tar.xz", files() | {name: data})))


def test_other_archives(tmp_path):
    no_personas = {name: text for name, text in files().items() if "interlocutors" not in name}
    with pytest.raises(InputError, match=r"has no interlocutors\.json, but .*; remedy: "):
        list(realpersonachat.read_realpersonachat(packed(tmp_path / "a.tar.xz", no_personas)))
    no_dialogues = {name: text for name, text in files().items() if "dialogues" not in name}
    with pytest.raises(InputError, match=r"has no dialogues/\*\.json, but interlocutors\.json, README\.md; remedy: "):
        list(realpersonachat.read_realpersonachat(packed(tmp_path / "b.tar.xz", no_dialogues)))


def test_a_cut_archive_leaves_no_output(tmp_path):
    release = packed(tmp_path / "own.tar.xz", files())
    release.write_bytes(release.read_bytes()[:-150])
    with pytest.raises(InputError, match=r"own\.tar\.xz\S*: damaged .*; remedy: "):
        corpora.main(["realpersonachat", str(release), "--out", str(tmp_path / "c.jsonl")])
    assert [path.name for path in tmp_path.iterdir()] == ["own.tar.xz"]


def test_the_released_corpus(tmp_path, capsys):
    release = real("persona_ja/real_persona_chat.tar.xz")
    corpora.main(["realpersonachat", str(release), "--out", str(tmp_path / "c.jsonl")])
    read = "13,583 conversations, 408,619 turns, 233 personas read"
    assert capsys.readouterr().out.startswith(f"{read}, 13,583 kept -> ")
    summary = check(str(tmp_path / "c.jsonl"))
    assert (summary.conversations, summary.words.total(), summary.with_personas) == (13_583, 408_619, 13_583)
