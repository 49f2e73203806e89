"""The readers of any JSON and any table: five corpora as they are released, by the commands of docs/data.md."""

import gzip
import json
import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_latent.errors import InputError
from preprocess.conversation import read_conversations
from preprocess.corpora import __main__ as corpora
from tests.helpers.hostile import DEAR, altered, edited, folder, outcome, refused_or_written
from tests.helpers.releases import packed

PAGE = Path(__file__).parents[3] / "docs" / "data.md"

EMPATHETIC = """conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags
hit:0_conv:1,1,lonely,Home_comma_ again,1,I came home_comma_ alone.,5|5|5_2|2|5,
hit:0_conv:1,2,lonely,Home_comma_ again,0,"Was it ""nice""?",5|5|5_2|2|5,
hit:0_conv:2,2,afraid,x,8,Where?,5|5,
hit:0_conv:2,1,afraid,x,7,It was dark.,5|5,<a>
"""
DAILY = "Do you ski ? __eou__ Never . __eou__\nTea ? __eou__ Yes . __eou__ Good . __eou__\n"
TOPICAL = {"t_1": {"article_url": "x", "config": "A", "content": [
    {"message": "Hi!", "agent": "agent_1", "sentiment": "Neutral"}, {"message": "Ho!", "agent": "agent_2"},
]}}  # fmt: skip
MULTIWOZ = {"SNG1.json": {"goal": {"taxi": {}}, "log": [{"text": "A taxi .", "metadata": {}}, {"text": "Where to ?"}]}}
CONVAI = [{
    "dialog_id": "0x1", "dialog": [{"id": 0, "sender": "p1", "text": "hi"}, {"id": 1, "sender": "p2", "text": "yo"}],
    "users": [{"id": "p1", "profile": ["I ski.", "I bake."]}, {"id": "p2", "profile": "I sing. I draw."}],
}]  # fmt: skip
FILES = {
    "empatheticdialogues/train.csv": EMPATHETIC, "dialogues_text.txt": DAILY, "topical_chat/train.json": json.dumps(TOPICAL),
    "multiwoz/data.json": json.dumps(MULTIWOZ, indent=1), "convai.json": json.dumps(CONVAI),
}  # fmt: skip
READ = {
    "empathetic.jsonl": [
        ("hit:0_conv:1", [("1", "I came home, alone."), ("0", 'Was it "nice"?')]),
        ("hit:0_conv:2", [("7", "It was dark."), ("8", "Where?")]),
    ],
    "daily.jsonl": [
        ("dialogues_text-1", [("A", "Do you ski ?"), ("B", "Never .")]),
        ("dialogues_text-2", [("A", "Tea ?"), ("B", "Yes ."), ("A", "Good .")]),
    ],
    "topical.jsonl": [("t_1", [("agent_1", "Hi!"), ("agent_2", "Ho!")])],
    "multiwoz.jsonl": [("SNG1.json", [("A", "A taxi ."), ("B", "Where to ?")])],
    "convai.jsonl": [("0x1", [("p1", "hi"), ("p2", "yo")])],
}


def commands():
    """Of docs/data.md: the words after `python -m preprocess.corpora`."""
    text = PAGE.read_text("utf-8").replace("\\\n", " ")
    return [
        shlex.split(line)
        for line in re.findall(r"^python -m preprocess\.corpora ((?:json|table) .*)$", text, re.MULTILINE)
    ]


def read(*words):
    """What a command writes."""
    if words[0] == "json":
        pytest.importorskip("jmespath")
    else:
        pytest.importorskip("duckdb")
    corpora.main([*map(str, words), "--out", "out.jsonl"])
    return list(read_conversations("out.jsonl"))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return packed(tmp_path, FILES)


@pytest.mark.parametrize("name", READ)
def test_five_corpora(here, name):
    (words,) = (words for words in commands() if words[-1] == name)
    found = read(*words[: words.index("--out")])
    assert [(each.id, [(turn.speaker, turn.text) for turn in each.turns]) for each in found] == READ[name]
    if name == "convai.jsonl":
        assert found[0].personas == {"p1": ("I ski.", "I bake."), "p2": ("I sing.", "I draw.")}


def test_lines_archives_plain_texts_and_personas_in_order(here, capsys):
    records = [
        {"said": ["a", "b"], "who": [["I ski."], "雪が好き。山も！"]}, {"said": ["c"], "who": 3}, {"said": []},
        {"said": ["d", None]}, {"said": [{"text": "e"}, "f"]},
    ]  # fmt: skip
    lines = "".join(json.dumps(each) + "\n" for each in records).encode()
    packed(here / "x.tar", {"a/one.jsonl.gz": gzip.compress(lines), "b/two.json": '[{"said": ["g"]}]'})
    found = read("json", "x.tar", "--turns", "said", "--personas", "who")
    texts = [(each.id, [turn.text for turn in each.turns]) for each in found]
    assert texts == [("a/one-1", ["a", "b"]), ("a/one-2", ["c"]), ("a/one-5", ["e", "f"]), ("b/two-6", ["g"])]
    assert found[0].personas == {"A": ("I ski.",), "B": ("雪が好き。", "山も！")}
    assert capsys.readouterr().out == (
        "6 conversations, 8 turns read, 4 conversations kept; 1 left out with a turn without text; "
        "1 left out without turns; 1 personas that are none -> out.jsonl\n"
    )


FIRST_TURN = "{id: a number, sender: a text, text: a text}"
NOTHING = {  # words: what the message says
    "json convai.json --turns dialog[": r"--turns 'dialog\[': no JMESPath .*; remedy",
    "json convai.json --turns turns": "convai.json:1: --turns 'turns' finds nothing in the first conversation, "
    f"which is {{dialog_id: a text, dialog: a list of 2 {FIRST_TURN}",
    "json convai.json --turns dialog --text said": f"'said' finds nothing in the first turn, which is {FIRST_TURN}; remedy",
    "json convai.json --turns dialog --text length(id)": "--text .* finds nothing",
    "json convai.json --turns dialog --conversations all": "finds nothing in the file, which is a list of 1 ",
    "json dialogues_text.txt --turns x": "no JSON .*; remedy",
    "table empatheticdialogues/train.csv --text said": "no column 'said'; remedy: one of conv_id, utterance_idx",
    "table convai.json --text said": "not a table by its name; remedy",
    "table dialogues_text.txt --text line --split ''": "nothing stands between .*; remedy",
    "table gone.csv --text said": "no such file; remedy",
}


@pytest.mark.parametrize("words", NOTHING)
def test_what_finds_nothing_is_refused_with_what_is_there(here, words):
    with pytest.raises(InputError, match=NOTHING[words]):
        read(*shlex.split(words))
    assert not (here / "out.jsonl").exists()


@given(
    altered(CONVAI).map(json.dumps),
    st.sampled_from(["dialog", "[].dialog", "users", "*", "dialog[*].text", "sum(@)", "a.b"]),
)
def test_any_json(value, turns):
    pytest.importorskip("jmespath")
    with folder() as here:
        (here / "x.json").write_text(value)
        words = ("--turns", turns, "--speaker", "sender", "--personas", "users[*].[id, profile]")
        refused_or_written(outcome(corpora.main, "json", here / "x.json", *words, "--out", here / "out"), here / "out")


@DEAR
@given(edited(EMPATHETIC.encode()))
def test_any_table(data):
    pytest.importorskip("duckdb")
    with folder() as here:
        (here / "x.csv").write_bytes(data)
        words = ("--text", "utterance", "--conversation", "conv_id", "--speaker", "speaker_idx", "--out", here / "out")
        refused_or_written(outcome(corpora.main, "table", here / "x.csv", *words), here / "out")
