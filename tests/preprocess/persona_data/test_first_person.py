"""Which sentences are self-descriptions, by the rules of Mazaré et al. (2018), and where a sentence ends."""

import sys

import pytest

from fairseq_latent.errors import InputError
from preprocess.persona_data import first_person
from preprocess.persona_data.first_person import ASKING, NO_NOUN, NO_SELF, NO_VERB, NOT_STRICT, Rules
from preprocess.persona_data.sentences import sentences

SHORT, LONG = "of fewer than 4 words", "of more than 20 words"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I ski. My dog is old!! ok", ["I ski.", "My dog is old!!", "ok"]),
        ('I met Dr. May (I like her). "I do." I read J. R. May, e.g. twice. Am I?', None),
        ("Hi. Mr. May is in. Them. There", ["Hi.", "Mr. May is in.", "Them.", "There"]),
        ("so i left... i am back", ["so i left...", "i am back"]),
        ("I ski\nI cook", ["I ski", "I cook"]),
        (
            "私は海が好き。犬もいる！？はい「そうだ。」うん",
            ["私は海が好き。", "犬もいる！？", "はい「そうだ。」", "うん"],
        ),
        ("  ", []),
    ],
)
def test_where_sentences_end(text, expected):
    expected = expected or (
        text and ["I met Dr. May (I like her).", '"I do."', "I read J. R. May, e.g. twice.", "Am I?"]
    )
    assert list(sentences(text)) == (expected if text.strip() else [])


@pytest.mark.parametrize("text", ["!", "?)", "Mr. ", "。", "!。", "x?", '."'])
def test_a_megabyte_takes_a_moment(text):
    list(sentences(text * (1_000_000 // len(text)) + "x"))


ENGLISH = [
    ("I have two cats.", ("have", "two", "cats")),
    ("i love chess", SHORT),
    ("i really love chess", ("love", "chess")),  # love: a verb, though most taggers call it a noun there
    ("I\u2019m from Kyoto myself", ("from", "kyoto", "myself")),
    ("im from kyoto too", ("from", "kyoto")),
    ("My brother can't cook", ("brother", "ca", "n't", "cook")),
    ("You have two cats.", NO_SELF),
    ("It is mine, not his.", NO_SELF),
    ("Two cats, i.e. two pets", NO_SELF),  # its "i" is nobody
    ("no, just my little brother", NO_VERB),
    ("I do not know", NO_NOUN),
    ("I really think so", NO_NOUN),  # that "I" is a pronoun is not enough
    ("Do I look like a cook?", ASKING),
    ("I have a cat " + "and a dog " * 5 + "now", ("have", "cat", *["dog"] * 5)),  # 4 + 15 + 1 = 20 words
    ("I have a cat " + "and a dog " * 5 + "right now", LONG),
]


@pytest.mark.parametrize(("sentence", "verdict"), ENGLISH)
def test_english(sentence, verdict):
    pytest.importorskip("lemminflect")
    assert Rules().verdict(sentence) == verdict


def test_lengths_and_questions_are_options():
    pytest.importorskip("lemminflect")
    assert Rules(min_words=3).verdict("i love chess") == ("love", "chess")
    assert Rules(max_words=4).verdict("I have two old cats") == "of more than 4 words"
    assert Rules(questions=True).verdict("Do I look like a cook?") == ("do", "look", "like", "cook")


@pytest.mark.parametrize(
    ("sentence", "kept"),
    [
        ("I have two cats.", True),
        ("yeah, but my cats are old", True),
        ("I don't have any cats", True),
        ("I never really knew my uncle", False),
        ("I would love a cat", False),
        ("I don't think cats fly", False),
        ("I like your two cats", False),
        ("What a lovely cat I have", False),
    ],
)
def test_strict(sentence, kept):
    pytest.importorskip("lemminflect")
    assert (Rules(strict=True).verdict(sentence) != NOT_STRICT) == kept
    assert not isinstance(Rules().verdict(sentence), str)


@pytest.mark.parametrize(
    ("sentence", "verdict"),
    [
        ("私は海が好きです。", ("海", "好き")),
        ("僕 の 趣味 は 読書 だ よ 。", ("趣味", "読書")),  # as preprocess.clean segments it
        ("うちの犬はかわいい", ("犬", "かわいい")),  # an adjective is a predicate
        ("海が好きです。", NO_SELF),
        ("私たちは海に行く", NO_SELF),  # we
        ("家のうち二つを買う", NO_SELF),  # "of which"
        ("わたしもだ", SHORT),
        ("私の赤い大きな犬と猫", ("赤い", "大きな", "犬", "猫")),
        ("僕の兄の家の犬", NO_VERB),
        ("俺もまた行くよ", NO_NOUN),
        ("私は海が好きですか？", ASKING),
    ],
)
def test_japanese_by_parts_of_speech(sentence, verdict):
    pytest.importorskip("MeCab")
    assert Rules().verdict(sentence) == verdict


def test_the_missing_lexicon_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "lemminflect", None)
    first_person._lexicon.cache_clear()
    first_person._readings.cache_clear()
    with pytest.raises(
        InputError, match=r"lemminflect is not installed; remedy: pip install 'fairseq_latent\[personas\]'"
    ):
        Rules().verdict("I have two cats.")
