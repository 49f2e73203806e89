"""Words: Moses as sacremoses makes them, Japanese by ipadic, none untouched."""

import dataclasses
import random
import sys

import pytest

from fairseq_latent.errors import InputError
from fairseq_latent.text import word_tokenizers
from fairseq_latent.text.word_tokenizers import tokenizer

ENGLISH = [
    "I don't think it's 3.5, but... &gt; \"ok\" (U.S. a|b) :-)",
    "Mr. Smith left at 5 p.m. Did he? No. 7 of 1,000 did.",
    "you're <unk> [sic] caf\u00e9 \u2019re \U0001f600 http://a.b/c?d=e&f",
    "",
    "   ",
    "e.g. this. that. No. no. etc.",
]


def test_english_equals_sacremoses():
    from sacremoses import MosesTokenizer

    moses = MosesTokenizer(lang="en")
    assert tokenizer("en")(ENGLISH) == [" ".join(moses.tokenize(line, escape=False)) for line in ENGLISH]


CHINESE = ["我喜欢茶", "我 喜欢 茶", "我 喜 欢 茶", "我在用 Python 3.11，你呢？", "", "ok"]


def test_chinese_words_are_characters_however_they_are_spaced():
    words = tokenizer("zh")(CHINESE)
    assert words[:3] == ["我 喜 欢 茶"] * 3
    assert words[3:] == ["我 在 用 Python 3.11 ， 你 呢 ？", "", "ok"]


def test_chinese_bleu_is_sacrebleus():
    from sacrebleu.metrics import BLEU

    hypotheses, references = ["我喜欢喝茶", "你在用 Python 吗？"], ["我 喜欢 喝 咖啡", "你用 Python 吗？"]
    theirs = BLEU(tokenize="zh").corpus_score(hypotheses, [references])
    zh = tokenizer("zh")
    ours = BLEU(tokenize="none").corpus_score(zh(hypotheses), [zh(references)])
    assert (ours.counts, ours.totals, ours.score) == (theirs.counts, theirs.totals, theirs.score)


def test_english_equals_sacremoses_whatever_the_line():
    """Random lines of what its passes look for; none of them is left out where it has something to do."""
    from sacremoses import MosesTokenizer

    moses, draw = MosesTokenizer(lang="en"), random.Random(0)
    parts = [*"a'.,3 ?!-$(@", "don", "'t", "'s", "..", "...", "1,000", "  ", "Mr.", "No.", "U.S.", "etc.", "p.m"]
    parts += ["\u00e9", "\u2019", "\t", "\u00a0", "\x07", "DOTMULTI", '"']
    lines = ["".join(draw.choices(parts, k=draw.randrange(1, 14))) for _ in range(3000)]
    assert tokenizer("en")(lines) == [" ".join(moses.tokenize(line, escape=False)) for line in lines]


def test_many_lines_are_split_by_several_processes(monkeypatch):
    """The same words in the same order, equal lines split once."""
    lines = [f"I don't know {number % 30}, Mr. Smith." for number in range(60)]
    alone = tokenizer("en")(lines)
    monkeypatch.setattr(word_tokenizers, "MANY", 20)
    monkeypatch.setattr(word_tokenizers, "BLOCK", 7)
    monkeypatch.setattr(word_tokenizers, "available_cores", lambda: 2)
    watched = dataclasses.replace(tokenizer("en"), split=lambda line: pytest.fail("this process splits"))
    assert watched(lines) == alone


def test_english_by_hand():
    assert tokenizer("en")(["I don't know, Mr. Smith."]) == ["I don 't know , Mr. Smith ."]


def test_escaping_changes_no_count():
    """Escaped tokens are as many and as distinct as ours, so BLEU and dist-n are those of the escaped text."""
    from sacremoses import MosesTokenizer

    moses = MosesTokenizer(lang="en")
    for line in ENGLISH:
        escaped, plain = moses.tokenize(line), tokenizer("en").split(line)
        assert len(escaped) == len(plain)
        assert len(set(zip(escaped, plain, strict=True))) == len(set(escaped)) == len(set(plain))


def test_none_only_squeezes_spaces():
    assert tokenizer("none")([" a  b\u3000c ", "don't"]) == ["a b c", "don't"]


def test_japanese_by_hand():
    pytest.importorskip("MeCab")
    assert tokenizer("ja")(["今日は良い天気ですね"]) == ["今日 は 良い 天気 です ね"]


@pytest.mark.parametrize(
    "text", ["今日は良い天気ですね", "lolと言った I love it", "猫が3匹います!!", "東京 都に　住む", ""]
)
def test_japanese_words_do_not_depend_on_spaces_already_there(text):
    pytest.importorskip("MeCab")
    split = tokenizer("ja")
    assert split(split([text])) == split([text])


def test_signatures_name_versions():
    assert tokenizer("none").signature == "tok:none"
    assert tokenizer("en").signature.startswith("tok:moses-en|sacremoses:")


def test_unknown_language():
    with pytest.raises(InputError, match=r"--lang en\|ja\|zh\|none"):
        tokenizer("de")


@pytest.mark.parametrize("module", ["MeCab", "ipadic"])
def test_missing_japanese_packages_name_the_extra(monkeypatch, module):
    tokenizer.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=r"pip install 'fairseq_latent\[ja\]'"):
        tokenizer("ja")


def test_missing_sacremoses(monkeypatch):
    tokenizer.cache_clear()
    monkeypatch.setitem(sys.modules, "sacremoses", None)
    with pytest.raises(InputError, match="pip install sacremoses"):
        tokenizer("en")
