"""Cleaning: each rule by example, and what has to hold for whatever users type."""

import random
import subprocess
import sys

import pytest

from fairseq_latent.symbols import RESERVED, USER_SYMBOLS
from preprocess import clean as module
from preprocess.clean import MERGE, Tally, clean, rules
from preprocess.conversation import Conversation, Turn, read_conversations, whole_id, write_conversations
from preprocess.pieces import train_subwords

RULES = rules(max_words=8)


def talk(*texts, name="c", speakers="AB", **more):
    return Conversation(name, tuple(Turn(speakers[i % 2], text) for i, text in enumerate(texts)), **more)


def texts(conversations):
    return [[turn.text for turn in conversation.turns] for conversation in conversations]


@pytest.mark.parametrize(
    ("rule", "text", "result"),
    [
        (module.unescape_html, "a &lt;3 b &amp;amp; c", "a <3 b & c"),
        (module.unescape_html, "AT&T; R&D", "AT&T; R&D"),
        (module.blank_control_characters, "a\u2028b\x85c\x00d\te", "a b c d e"),
        (module.blank_control_characters, "\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),
        (module.remove_urls, "see http://a.b/c?d=e.", "see  ."),
        (module.remove_urls, "見てhttps://t.co/Ab1ですね", "見て ですね"),
        (module.remove_urls, "WWW.Example.org!", " !"),
        (module.remove_urls, "the http protocol", "the http protocol"),
        (module.break_up_symbols, "a <eot> b</s>", "a < eot > b< /s >"),
        (module.break_up_symbols, "＜ｅｏｔ＞ ﹤unk﹥", "＜ ｅｏｔ ＞ ﹤ unk ﹥"),
        (module.break_up_symbols, "I <3 you <EOT> < eot >", "I <3 you <EOT> < eot >"),
        (module.squeeze_whitespace, " a\u3000\u00a0b  c ", "a b c"),
        (module.drop_empty, "", None),
    ],
)
def test_rule(rule, text, result):
    assert rule(text) == result


def test_length_counts_words():
    assert module.drop_long("a b c", max_words=3) == "a b c"
    assert module.drop_long("a b c d", max_words=3) is None


def test_adjacent_turns_of_one_speaker_become_one_before_their_length_counts():
    turns = (Turn("A", "a b c", id="1"), Turn("A", "d", id="2"), Turn("B", "e", id="3"))
    (cleaned,) = clean([Conversation("c", turns)], rules(max_words=4), Tally())
    assert cleaned.turns == (Turn("A", "a b c d", id="1"), Turn("B", "e", id="3"))
    assert texts(clean([Conversation("c", turns)], rules(max_words=3), Tally())) == [["e"]]


def test_conversation_is_cut_where_a_turn_is_dropped():
    long = "x " * 9
    cleaned = list(clean([talk("a", "b", long, "c", "http://a.b", long, "d", "e")], RULES, Tally()))
    assert texts(cleaned) == [["a", "b"], ["c"], ["d", "e"]]
    assert [part.id for part in cleaned] == ["c", "c#part2", "c#part3"]
    assert {whole_id(part.id) for part in cleaned} == {"c"}


def test_conversation_without_a_turn_goes():
    tally = Tally()
    assert list(clean([talk(" ", "\n")], RULES, tally)) == []
    assert "1 read + 0 parts cut off - 1 without a turn = 0 written" in tally.lines()[-1]


def test_personas_and_the_rest_are_kept():
    conversation = talk("a", "b", personas={"A": ["I like  tea.", "http://a.b"]}, lang="en", source="own")
    (cleaned,) = clean([conversation], RULES, Tally())
    assert cleaned.personas == {"A": ["I like tea."]}
    assert (cleaned.lang, cleaned.source, cleaned.turns) == ("en", "own", conversation.turns)


PARTS = [
    "a",
    "B",
    " ",
    "  ",
    "\n",
    "\u2028",
    "\u3000",
    "&amp;",
    "lt;",
    "&lt;",
    "<",
    "eot",
    "ｅｏｔ",
    ">",
    "＞",
    "/s",
    "日本",
]
PARTS += [
    "http://x.y/z",
    "www.",
    "\x00",
    "\x85",
    *RESERVED,
    *USER_SYMBOLS,
    "&#x2028;",
    "\u200b",
    "&",
    ";",
    "\U0001f600",
]


def random_conversations(seed, count=300):
    generator = random.Random(seed)
    for number in range(count):
        turns = [
            Turn(generator.choice("AB"), "".join(generator.choices(PARTS, k=generator.randint(0, 12))))
            for _ in range(generator.randint(1, 6))
        ]
        yield Conversation(str(number), tuple(turns))


@pytest.mark.parametrize("seed", range(5))
def test_what_holds_for_every_text(seed):
    cleaned = list(clean(random_conversations(seed), RULES, Tally()))
    for conversation in cleaned:
        for turn in conversation.turns:
            assert turn.text == " ".join(turn.text.split()) != ""
            assert len(turn.text.splitlines()) == 1
            assert 1 <= len(turn.text.split()) <= 8
            assert not any(symbol in turn.text for symbol in (*RESERVED, *USER_SYMBOLS))
        speakers = [turn.speaker for turn in conversation.turns]
        assert all(one != other for one, other in zip(speakers, speakers[1:], strict=False))
    assert len({conversation.id for conversation in cleaned}) == len(cleaned)
    assert list(clean(cleaned, RULES, Tally())) == cleaned  # what is clean stays as it is


@pytest.mark.parametrize("seed", range(3))
def test_table_adds_up(seed):
    tally = Tally()
    conversations = list(random_conversations(seed))
    cleaned = list(clean(conversations, RULES, tally))
    left = sum(len(conversation.turns) for conversation in conversations)
    for name in (MERGE, *(name for name, _ in RULES)):
        read, changed, dropped = tally.rows[name]
        assert read == left
        assert 0 <= changed <= read - dropped
        left = read - dropped
    assert left == sum(len(conversation.turns) for conversation in cleaned)
    count = tally.conversations
    assert count["read"] + count["parts"] - count["dropped"] == count["written"] == len(cleaned)


def test_typed_symbols_never_become_ours_in_sentencepiece(tmp_path):
    (tmp_path / "text").write_text("<eot> a B < > / s p o t e u n k d &; h x y z w .\n", "utf-8")
    processor = train_subwords([tmp_path / "text"], vocab_size=100).processor
    ours = {processor.piece_to_id(f"▁{symbol}") for symbol in USER_SYMBOLS}
    assert ours & set(processor.encode("a <eot> b"))
    for conversation in random_conversations(7, 600):
        for turn in conversation.turns:
            text = module.apply_rules(turn.text, rules(max_words=100), Tally())
            assert text is None or not ours & set(processor.encode(text))


def test_command(tmp_path):
    source, out = tmp_path / "c.jsonl", tmp_path / "clean.jsonl"
    write_conversations(source, [talk("a  b", "x " * 9, "c")])
    arguments = [sys.executable, "-m", "preprocess.clean", str(source), "--out", str(out), "--max-words", "8"]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert texts(read_conversations(out)) == [["a b"], ["c"]]
    last = ["drop", "turns", "of", ">", "8", "words", "3", "2", "0", "1"]  # read, unchanged, changed, dropped
    assert done.stdout.splitlines()[-2].split() == last
    arguments[-1] = "0"
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 2
    assert "remedy" in done.stderr
