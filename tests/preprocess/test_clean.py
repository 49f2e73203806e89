"""Cleaning: each rule by example, and what has to hold for whatever users type."""

import gzip
import random
import subprocess
import sys
from dataclasses import replace

import pytest

from fairseq_latent.errors import InputError
from fairseq_latent.symbols import RESERVED, USER_SYMBOLS
from preprocess.clean import MERGE, Tally, apply_rules, clean_file, cleaner
from preprocess.cleaning.rules import CleaningOptions, rules
from preprocess.conversation import (
    Conversation,
    Turn,
    conversation_from,
    dump_record,
    header_line,
    read_conversations,
    record_of,
    whole_id,
    write_conversations,
)
from preprocess.sentencepiece_model import train_subwords

SHORT = CleaningOptions(max_words=8)
TWEETS = CleaningOptions(min_words=2, max_words=8, tweets=True)


def clean(conversations, wanted=SHORT, tally=None):
    records = map(record_of, conversations)
    return map(conversation_from, cleaner(wanted).clean(records, Tally() if tally is None else tally))


def talk(*texts, name="c", speakers="AB", **more):
    return Conversation(name, tuple(Turn(speakers[i % 2], text) for i, text in enumerate(texts)), **more)


def texts(conversations):
    return [[turn.text for turn in conversation.turns] for conversation in conversations]


def test_adjacent_turns_of_one_speaker_become_one_before_their_length_counts():
    turns = (Turn("A", "a b c", id="1"), Turn("A", "d", id="2"), Turn("B", "e", id="3"))
    (cleaned,) = clean([Conversation("c", turns)], CleaningOptions(max_words=4))
    assert cleaned.turns == (Turn("A", "a b c d", id="1"), Turn("B", "e", id="3"))
    assert texts(clean([Conversation("c", turns)], CleaningOptions(max_words=3))) == [["e"]]


def test_conversation_is_cut_where_a_turn_is_dropped():
    long = "x " * 9
    cleaned = list(clean([talk("a", "b", long, "c", "http://a.b", long, "d", "e")]))
    assert texts(cleaned) == [["a", "b"], ["c"], ["d", "e"]]
    assert [part.id for part in cleaned] == ["c", "c#part2", "c#part3"]
    assert {whole_id(part.id) for part in cleaned} == {"c"}


def test_conversation_without_a_turn_goes():
    tally = Tally()
    assert list(clean([talk(" ", "\n")], SHORT, tally)) == []
    assert "1 read + 0 parts cut off - 1 without a turn = 0 written" in tally.lines([])[-1]


def test_a_symbol_in_capitals_is_none_in_small_letters():
    assert texts(clean([talk("I said <EOT>", "Tea")], CleaningOptions(lower_case=True))) == [["i said < eot >", "tea"]]


def test_personas_and_the_rest_are_kept():
    conversation = talk("a", "b", personas={"A": ["I like  tea.", "http://a.b"]}, lang="en", source="own")
    (cleaned,) = clean([conversation])
    assert cleaned.personas == {"A": ("I like tea.",)}
    assert (cleaned.lang, cleaned.source, cleaned.turns) == ("en", "own", conversation.turns)


def offered(text, *candidates, speaker="A"):
    return Turn(speaker, text, candidates=candidates or None)


def test_candidates_pass_through_the_rules_of_their_turn():
    tally = Tally()
    (cleaned,) = clean([Conversation("c", (offered("a  <eot>", "a  <eot>", "b\tc\nd", "x " * 9, "\n"),))], SHORT, tally)
    assert cleaned.turns == (offered("a < eot >", "a < eot >", "b c d"),)
    assert tally.turns == 1 and sum(tally.changed.values()) == 2 and not tally.dropped  # what happened to the text


def test_where_no_candidate_is_left_the_key_goes():
    records = [{"id": "c", "turns": [{"speaker": "A", "text": "a", "candidates": each}]} for each in ([" "], None)]
    for cleaned in cleaner(SHORT).clean(records, Tally()):
        assert cleaned["turns"] == [{"speaker": "A", "text": "a"}]


def test_turns_that_became_one_have_no_candidates():
    turns = (offered("a", "b", "a"), offered("c", "d", "c"), offered("e", "f", "e", speaker="B"))
    (cleaned,) = clean([Conversation("c", turns)])
    assert cleaned.turns == (offered("a c"), turns[2])


@pytest.mark.parametrize("wanted", [SHORT, TWEETS, CleaningOptions(lower_case=True)])
def test_the_reply_stays_among_its_candidates(wanted):
    """The text is cleaned in two steps, before and after turns become one."""
    kept = 0
    for conversation in random_conversations(3):
        turns = [replace(turn, candidates=("no", turn.text)) for turn in conversation.turns]
        for cleaned in clean([replace(conversation, turns=turns)], wanted):
            kept += sum(turn.candidates is not None for turn in cleaned.turns)
            assert all(turn.text in turn.candidates for turn in cleaned.turns if turn.candidates)
    assert kept > 100


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


def test_names_hashtags_and_links_of_every_tweet_go_before_those_of_one_user_are_one_turn():
    turns = (Turn("A", "@b look https://t.co/x"), Turn("A", "@b @c a cat #cats"), Turn("B", "@a so nice"))
    (cleaned,) = clean([Conversation("c", turns)], TWEETS)
    assert [turn.text for turn in cleaned.turns] == ["look a cat", "so nice"]


def test_the_number_of_workers_changes_nothing(tmp_path):
    source = tmp_path / "c.jsonl"
    write_conversations(source, random_conversations(1, 3000))
    for workers in (1, 3):
        clean_file(source, tmp_path / f"{workers}.jsonl", TWEETS, workers)
    written = (tmp_path / "1.jsonl").read_bytes()
    assert written == (tmp_path / "3.jsonl").read_bytes()
    expected = list(clean(read_conversations(source), TWEETS))
    assert list(read_conversations(tmp_path / "1.jsonl")) == expected


def test_a_bad_line_is_named_and_nothing_is_written(tmp_path):
    source = tmp_path / "c.jsonl"
    write_conversations(source, [talk("a", "b", name=str(number)) for number in range(30_000)])
    source.write_bytes(source.read_bytes() + b'{"id": "x"}\n')
    with pytest.raises(InputError, match=r"c.jsonl:30002: the conversation has no 'turns'"):
        clean_file(source, tmp_path / "out.jsonl", SHORT, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["c.jsonl"]


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("name", ["c.jsonl", "c.jsonl.gz"])
def test_an_id_that_stands_twice_is_refused_and_nothing_is_written(tmp_path, header, name):
    """In another block, and with two workers another process."""
    lines = [dump_record(record_of(talk("a", "b", name=f"c{number}"))) for number in range(30_000)]
    lines = [header_line()] * header + [*lines, lines[17]]
    source = tmp_path / name
    source.write_bytes(gzip.compress(b"".join(lines)) if source.suffix == ".gz" else b"".join(lines))
    message = f"{name}:{30_001 + header}: id 'c17' stands in line {18 + header} too; remedy: make ids unique"
    with pytest.raises(InputError, match=message):
        clean_file(source, tmp_path / "out.jsonl", SHORT, 2)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("seed", range(5))
def test_what_holds_for_every_text(seed):
    cleaned = list(clean(random_conversations(seed)))
    for conversation in cleaned:
        for turn in conversation.turns:
            assert turn.text == " ".join(turn.text.split()) != ""
            assert len(turn.text.splitlines()) == 1
            assert 1 <= len(turn.text.split()) <= 8
            assert not any(symbol in turn.text for symbol in (*RESERVED, *USER_SYMBOLS))
        speakers = [turn.speaker for turn in conversation.turns]
        assert all(one != other for one, other in zip(speakers, speakers[1:], strict=False))
    assert len({conversation.id for conversation in cleaned}) == len(cleaned)
    assert list(clean(cleaned)) == cleaned  # what is clean stays as it is


@pytest.mark.parametrize("wanted", [SHORT, TWEETS])
@pytest.mark.parametrize("seed", range(3))
def test_table_adds_up(seed, wanted):
    tally = Tally()
    conversations = list(random_conversations(seed))
    cleaned = list(clean(conversations, wanted, tally))
    left = sum(len(conversation.turns) for conversation in conversations)
    names = cleaner(wanted).names
    assert MERGE in names
    for (name, read, changed, dropped), expected in zip(tally.rows(names), names, strict=True):
        assert name == expected
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
            text = apply_rules(turn.text, rules(CleaningOptions()), Tally())
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


def test_a_file_that_was_cut_before_is_not_cut_into_the_same_ids(tmp_path):
    """c is cut by its second cleaning too, and would go on as c#part2, which the first one made."""
    first = write_conversations(tmp_path / "x", [talk("a b", "c d e", "f"), talk("g", "h", name="c#part2")])
    assert first == 2
    with pytest.raises(InputError, match=r"x:3: c#part2 is a part that was cut off before, .*; remedy: "):
        clean_file(tmp_path / "x", tmp_path / "out", replace(SHORT, max_words=2), 1)
    assert not (tmp_path / "out").exists()
    clean_file(tmp_path / "x", tmp_path / "out", SHORT, 1)  # cuts nothing
