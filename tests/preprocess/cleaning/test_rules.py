"""The rules for a turn: each by example, and the quick looks that spare them work against the rule without."""

import argparse
import re
from collections import Counter
from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_latent.errors import InputError
from preprocess.cleaning import japanese, languages, rules
from preprocess.cleaning.rules import CleaningOptions
from tests.helpers.typed import texts


@pytest.mark.parametrize(
    ("rule", "text", "result"),
    [
        (rules.unescape_html, "a &lt;3 b &amp;amp; c", "a <3 b & c"),
        (rules.unescape_html, "AT&T; R&D", "AT&T; R&D"),
        (rules.blank_control_characters, "a\u2028b\x85c\x00d\te", "a b c d e"),
        (rules.blank_control_characters, "\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),
        (rules.remove_invisible_characters, "a\u200bb\u202ec\ufeff", "abc"),
        (rules.remove_invisible_characters, "\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),
        (rules.remove_urls, "see http://a.b/c?d=e.", "see  ."),
        (rules.remove_urls, "見てhttps://t.co/Ab1ですね", "見て ですね"),
        (rules.remove_urls, "WWW.Example.org!", " !"),
        (rules.remove_urls, "the http protocol", "the http protocol"),
        (rules.remove_names_at_the_start, "@anna @ben_2: yes @carl", "yes @carl"),
        (rules.remove_names_at_the_start, ".@anna hi", "hi"),
        (rules.remove_names_at_the_start, "@annaそうだね", "そうだね"),
        (rules.remove_names_at_the_start, "＠anna　うん", "うん"),
        (rules.remove_names_at_the_start, "a@b.c @anna", "a@b.c @anna"),
        (rules.remove_names_at_the_start, "@ five", "@ five"),
        (rules.remove_hashtags_at_the_end, "so true #monday #coffee", "so true"),
        (rules.remove_hashtags_at_the_end, "楽しい＃花見 #春", "楽しい"),
        (rules.remove_hashtags_at_the_end, "#monday is here", "#monday is here"),
        (rules.break_up_symbols, "a <eot> b</s>", "a < eot > b< /s >"),
        (rules.break_up_symbols, "＜ｅｏｔ＞ ﹤unk﹥", "＜ ｅｏｔ ＞ ﹤ unk ﹥"),
        (rules.break_up_symbols, "I <3 you <EOT> < eot >", "I <3 you <EOT> < eot >"),
        (rules.squeeze_whitespace, " a\u3000\u00a0b  c ", "a b c"),
        (rules.lower_case, "I said ÄRGER", "i said ärger"),
        (rules.drop_empty, "", None),
        (rules.drop_marks, "mail me @ home", None),
        (rules.drop_marks, "｛x｝", None),
        (rules.drop_marks, "a plain text", "a plain text"),
        (rules.drop_one_character, "ahhhhhh", None),
        (rules.drop_one_character, "h a h h", None),
        (rules.drop_one_character, "abab", "abab"),
        (rules.drop_one_character, "w", "w"),
        (rules.drop_one_character, "", ""),
    ],
)
def test_rule(rule, text, result):
    assert rule(text) == result


def test_length_counts_words():
    assert rules.drop_long("a b c", max_words=3) == "a b c"
    assert rules.drop_long("a b c d", max_words=3) is None
    assert rules.drop_short("a b", min_words=2) == "a b"
    assert rules.drop_short("ab", min_words=2) is None


@pytest.mark.parametrize("seed", range(3))
def test_a_quick_look_never_changes_a_result(seed):
    for text in texts(3000, seed):
        letters = text.replace(" ", "")
        crowded = len(letters) > 1 and max(Counter(letters).values()) > len(letters) / 2
        assert rules.drop_one_character(text) == (None if crowded else text)
        assert rules.squeeze_whitespace(text) == " ".join(text.split())
        assert rules.blank_control_characters(text) == rules.CONTROL.sub(" ", text)
        assert rules.drop_marks(text) == (None if re.search("[@#{}＠＃｛｝]", text) else text)
        assert rules.break_up_symbols(text) == rules.BRACKETED.sub(rules._broken_up, text)


def test_what_a_rule_leaves_alone_is_the_same_object():
    text = "".join(["a plain ", "text"])
    for name, rule in rules.rules(CleaningOptions(tweets=True, lang="en", min_words=2, lower_case=True)):
        assert rule(text) is text, name


@pytest.mark.parametrize(
    ("lang", "text", "kept"),
    [
        ("en", "hello there", True),
        ("en", "café, naïve?", True),
        ("en", "12 : 30", False),
        ("en", "привет hello", False),
        ("en", "これは hello", False),
        ("ja", "これは", True),
        ("ja", "ﾊﾛｰ", True),
        ("ja", "你好", False),
        ("ja", "hello", False),
    ],
)
def test_script(lang, text, kept):
    assert languages.dropper(lang, "script")(text) == (text if kept else None)


def test_a_language_that_its_script_does_not_tell():
    with pytest.raises(InputError, match="--lang fr.*remedy: --detector langid"):
        languages.dropper("fr", "script")


@pytest.mark.skipif(find_spec("py3langid") is None, reason="py3langid is not installed")
def test_langid():
    keep = languages.dropper("fr", "langid")
    french, english = "je ne sais pas ce que tu veux dire", "I do not know what you want to say"
    assert keep(french) == french
    assert keep(english) is None
    assert keep("thanks!") == "thanks!"  # too short for a guess
    with pytest.raises(InputError, match="--lang xx: langid knows .* en .*remedy"):
        languages.dropper("xx", "langid")


@pytest.mark.skipif(find_spec("emoji") is None, reason="emoji is not installed")
@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("so good \U0001f468\u200d\U0001f469\u200d\U0001f467!", "so good !"),
        ("ok \U0001f44d\U0001f3fd", "ok "),
        ("press 1\ufe0f\u20e3", "press "),
        ("1 # ©", "1 # "),
        ("日本語", "日本語"),
    ],
)
def test_emoji(text, result):
    assert rules.emoji_remover()(text) == result


@pytest.mark.skipif(
    find_spec("MeCab") is None or find_spec("neologdn") is None, reason="the extra [ja] is not installed"
)
def test_japanese():
    apply = dict(rules.rules(CleaningOptions(japanese=True)))
    assert apply["normalise Japanese"]("ﾊﾝｶｸｰーー　ＡＢＣ　ｗｗｗｗｗｗ") == "ハンカクーABC www"
    assert apply["part Japanese words"]("すもももももももものうち") == "すもも も もも も もも の うち"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("我喜欢 Python，你 呢？", "我 喜 欢 Python ， 你 呢 ？"),
        ("我 喜欢 喝 茶", "我 喜 欢 喝 茶"),
        ("3 月 5日", "3 月 5 日"),
        ("\U00020000丂", "\U00020000 丂"),
        ("no change here", "no change here"),
        ("café au lait", "café au lait"),
    ],
)
def test_chinese(text, result):
    assert dict(rules.rules(CleaningOptions(chinese=True)))["part Chinese characters"](text) == result


def test_what_is_chinese():
    keep = languages.dropper("zh", "script")
    for text, kept in (
        ("我喜欢", True),
        ("ok，我", True),
        ("お茶が好き", False),
        ("茶が", False),
        ("hello", False),
        ("！？", False),
    ):
        assert (keep(text) is not None) == kept, text


def test_two_ways_to_part_characters_are_refused():
    parser = argparse.ArgumentParser()
    rules.add_options(parser)
    options = parser.parse_args(["--japanese", "--chinese"])
    options.lang = None
    with pytest.raises(InputError, match="--japanese and --chinese.*remedy"):
        rules.cleaning_options(options, tweets=False)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("旅行は2〜3日です", "旅行は2〜3日です"),
        ("電話は０１２０−１１１１", "電話は0120-1111"),
        ("０３－３３３３ー３３３３です", "03-3333-3333です"),
        ("一〇〇〇〇円と10000円", "一〇〇〇〇円と10000円"),
        ("ねえ〜〜〜〜〜 えええええ!!!!!", "ねえ〜〜〜えええ!!!"),
        ("①①①①①を２　３回", "①①①①①を2 3回"),
    ],
)
def test_numbers_and_ranges_stay(text, result):
    pytest.importorskip("neologdn")
    assert japanese.normaliser()(text) == result


@given(st.text(st.sampled_from("0011２２３三〇〇千①〜~～－ー−-、.,:　 あアｱﾞｗｗw笑!！")) | st.text())
def test_no_digit_string_changes(text):
    pytest.importorskip("neologdn")
    numbers = re.compile(r"\d+|[〇三千①]+")
    narrow = text.translate({ord("０") + digit: str(digit) for digit in range(10)})
    assert numbers.findall(japanese.normaliser()(text)) == numbers.findall(narrow)
