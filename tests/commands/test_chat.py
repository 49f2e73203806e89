"""`fairseq-latent chat`: what is typed, what is shown, and what a model hears of it."""

import io
import json
from unittest import mock

import pytest

from fairseq_latent.commands.chat import Conversation, shown
from fairseq_latent.errors import InputError
from fairseq_latent.interface import Reply
from fairseq_latent.text.tokenizers import tokenizer_of

from ..helpers import programs


class Echo:
    """A partner that answers with what it heard."""

    def __init__(self):
        self.heard = []

    def answer(self, turns):
        self.heard.append(list(turns))
        return [Reply(f"{turns[-1]} {number}", number / 4) for number in range(2)]

    def unknown(self, turn):
        return [word for word in turn.split() if word.isupper()]


@pytest.fixture
def talk():
    return Conversation(Echo(), context_turns=3)


def said(talk, *lines):
    return [list(talk.hear(line)) for line in lines]


def test_the_first_reply_goes_on_or_the_one_that_is_chosen(talk):
    shown = said(talk, "a", "b", "2", "c")
    assert shown[0] == ["1. a 0  (fader 0.00)", "2. a 1  (fader 0.25)"]
    assert shown[2] == ["(2 goes on)"]
    assert talk.partner.heard == [["a"], ["a", "a 0", "b"], ["b", "b 1", "c"]]


def test_what_is_no_turn(talk):
    shown = said(talk, "a", "7", "/what", "", "/new", "2")
    assert all(line[0].startswith("(a number") for line in shown[1:4])
    assert shown[4] == ["(a new conversation)"]
    assert talk.partner.heard == [["a"], ["2"]]  # without replies to choose from, a number is a turn


def test_words_that_the_model_cannot_read_are_told(talk):
    (shown,) = said(talk, "a B c")
    assert shown[0] == "(unknown to the model: B)" and shown[1].startswith("1. ")


def test_without_a_fader_there_is_none_to_show():
    assert shown(Reply("yes"), 3) == "3. yes"


def test_words_where_the_folder_has_no_model(tmp_path):
    subwords = tokenizer_of(tmp_path)
    assert subwords.encode(" two  words ") == "two words" and subwords.decode("two words ") == "two words"


def test_sentencepiece_of_the_folder(tmp_path):
    from preprocess.sentencepiece_model import train_subwords

    (tmp_path / "text").write_text("tea is fine\ncoffee is fine\nno tea today\n" * 9)
    model = train_subwords([tmp_path / "text"], 30)
    (tmp_path / "spm.model").write_bytes(model.model)
    subwords = tokenizer_of(tmp_path)
    assert subwords.decode(subwords.encode("no coffee today")) == "no coffee today"
    (tmp_path / "spm.model").write_bytes(b"no model")
    with pytest.raises(InputError, match="no SentencePiece model; remedy"):
        tokenizer_of(tmp_path)


def test_gpt2_of_the_folder(tmp_path):
    pytest.importorskip("tokenizers")
    from fairseq_latent.text.gpt2_tokenizer import load_gpt2

    alphabet = {chr(code): index for index, code in enumerate([*range(33, 127), 0x120])}  # the space is U+0120 there
    (tmp_path / "encoder.json").write_text(json.dumps(alphabet))
    (tmp_path / "vocab.bpe").write_text("#version: 0.2\n")
    subwords = tokenizer_of(tmp_path)
    assert subwords.encode("a b") == " ".join(str(alphabet[character]) for character in "a\u0120b")
    assert subwords.decode(subwords.encode("a b")) == "a b" and load_gpt2(tmp_path).size == len(alphabet)


def test_chatting_with_a_model_that_has_no_fader(data_bin, tmp_path):
    programs.fit(data_bin, tmp_path)
    command = ("chat", data_bin, "--path", tmp_path / "checkpoint_last.pt", "--cpu", "--beam", "2")
    done = programs.tool(*command, "--max-length", "5", stdin="do you like Tea\n")
    assert done.returncode == 0, done.stderr
    told, *replies = done.stdout.splitlines()
    assert told == "(unknown to the model: Tea)"
    assert [line[:3] for line in replies] == ["1. ", "2. ", "3. "] and "fader" not in done.stdout
    for flags, message in (
        (("--fader", "0.5"), "has no fader"),
        (("--replies", "0"), "--replies 0"),
        (("--beam", "-2"), "--beam -2"),
        (("--sampling-topp", "1.5"), "--sampling-topp 1.5; remedy: 4 and 0.8"),
    ):
        done = programs.tool(*command, *flags, stdin="hello\n")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1) and message in done.stderr


@pytest.mark.parametrize("digits", ["9" * 5000, "０" * 4300, "0000000001"])
def test_a_number_of_many_digits_is_no_reply(talk, digits):
    assert said(talk, "a", digits)[1][0].startswith("(a number")


def test_bytes_that_are_no_text_are_told_and_the_conversation_goes_on(talk):
    shown = said(talk, "a", "tea \udcff", "b")
    assert shown[1] == ["(not in the terminal's encoding: tea \udcff; type it again)"]
    assert talk.partner.heard == [["a"], ["a", "a 0", "b"]]


def test_a_terminal_is_not_controlled(data_bin, tmp_path, monkeypatch):
    """Neither by what is typed nor by bytes of another encoding."""
    programs.fit(data_bin, tmp_path, "--max-update", "1")
    typed = io.TextIOWrapper(io.BytesIO(b"t\xffa\nt\x1b]0;x\x07\x00\xe2\x80\xae \xe8\x8c\xb6\n"), encoding="utf-8")
    with mock.patch.object(io, "StringIO", lambda _: typed):  # what `programs.tool` makes of its stdin
        done = programs.tool("chat", data_bin, "--path", tmp_path / "checkpoint_last.pt", "--cpu", "--replies", "1")
    assert done.returncode == 0 and not done.stderr
    first, second, *_ = done.stdout.splitlines()
    assert first == "(not in the terminal's encoding: t\\udcffa; type it again)"
    assert second == "(unknown to the model: t\\u001b]0;x\\u0007\\u0000\\u202e 茶)"
