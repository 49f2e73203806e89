"""Japanese words: all of a text, whatever stands in it and however long it is."""

import pytest

from fairseq_latent.text.mecab import LONGEST, segmenter
from fairseq_latent.text.word_tokenizers import tokenizer

pytest.importorskip("MeCab")
SENTENCE, WORDS = "今日は良い天気ですね。", "今日 は 良い 天気 です ね 。"


@pytest.fixture(scope="module")
def segment():
    return segmenter()


def test_what_follows_a_nul_is_kept(segment):
    assert segment("猫\0犬がいる\0") == "猫 犬 が いる"
    assert tokenizer("ja")(["猫\0犬がいる", "a\0b c"]) == ["猫 犬 が いる", "a b c"]


@pytest.mark.parametrize("unit", [SENTENCE, "猫", "a", "😀", "ア", " 犬", "\0"])
def test_long_lines_lose_nothing(segment, unit):
    text = unit * (3 * LONGEST // len(unit) + 7)
    assert segment(text).replace(" ", "") == text.replace(" ", "").replace("\0", "")


def test_a_line_of_a_megabyte(segment):
    """Cut between sentences, it has the words of its sentences."""
    assert segment(SENTENCE * 40_000) == " ".join([WORDS] * 40_000)


def test_lines_of_usual_length_are_not_cut(segment):
    """MeCab reads across the ends of sentences."""
    import ipadic
    import MeCab

    text = (SENTENCE + "猫が3匹います!! lol ") * (LONGEST // 30)
    assert len(text) <= LONGEST
    assert segment(text) == " ".join(MeCab.Tagger(f"-Owakati {ipadic.MECAB_ARGS}").parse(text).split())
