"""Texts in pictures: lines that fit, fonts that have the characters, boxes for those that none has."""

import pytest
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from fairseq_latent.evaluation.plotting import text_layout
from fairseq_latent.evaluation.plotting.text_layout import FONT, absent, drawable, families, wrapped

FONTS = (FONT,)
SENTENCE = "the quick brown fox jumps over the lazy dog and then it goes on to sleep for a while in the warm sun"


def inches(line, size):
    return text_to_path.get_text_width_height_descent(line, FontProperties(family=FONT, size=size), False)[0] / 72


@pytest.mark.parametrize("text", [SENTENCE, "x" * 300, f"short {'W' * 200} end", "a b " * 100])
@pytest.mark.parametrize("width", [1.0, 3.0])
def test_lines_fit_and_nothing_is_lost(text, width):
    lines = wrapped(text, width, 10, 1000, FONTS)
    assert all(inches(line, 10) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_lines_break_between_words():
    lines = wrapped(SENTENCE, 2.0, 10, 1000, FONTS)
    assert len(lines) > 3
    assert " ".join(lines) == SENTENCE


def test_east_asian_lines_break_between_any_two_characters():
    lines = wrapped("tea " + "野菜を" * 30, 2.0, 10, 1000, FONTS)
    assert len(lines) > 2
    assert lines[0].startswith("tea 野菜")
    assert "".join(lines) == "tea " + "野菜を" * 30


def test_a_long_text_keeps_its_start_or_its_end():
    start = wrapped(SENTENCE, 2.0, 10, 2, FONTS, before="context: ")
    assert len(start) == 2
    assert start[0].startswith("context: the quick")
    assert start[1].endswith("…")
    end = wrapped(SENTENCE * 50, 2.0, 10, 2, FONTS, before="context: ", keep="end")
    assert len(end) == 2
    assert end[0].startswith("context: …")
    assert end[1].endswith("warm sun")
    assert all(inches(line, 10) <= 2 for line in [*start, *end])


def test_a_width_below_a_letter_ends():
    assert wrapped("abc", 0.01, 10, 9, FONTS) == ["a", "b", "c"]
    assert wrapped("", 1, 10, 1, FONTS) == [""]


def test_characters_without_a_glyph_are_boxes_and_are_told():
    private = "\ue123"  # of no installed font, it is hoped
    assert drawable(f"I love {private}!", FONTS) == "I love □!"
    assert drawable(private * 4 + "a", FONTS) == text_layout.NOTHING_READABLE
    assert absent([f"a{private}", f"{private}\U000e0101b"], FONTS) == private + "\U000e0101"
    assert absent([SENTENCE], FONTS) == ""


def test_texts_are_one_line_without_control():
    assert drawable(" a\n b\t\x1b[31mc ", FONTS) == "a b \\u001b[31mc"
    assert drawable("", FONTS) == ""


def test_other_fonts_are_used_where_they_help(monkeypatch):
    characters = {
        FONT: frozenset(map(ord, "ab ")),
        "Little": frozenset(map(ord, "野")),
        "Big": frozenset(map(ord, "野菜")),
    }
    monkeypatch.setattr(text_layout, "_installed", lambda: ("Big", FONT, "Little"))
    monkeypatch.setattr(text_layout, "_characters", characters.__getitem__)
    assert families(["ab"]) == (FONT,)
    assert families(["a野菜を"]) == (FONT, "Big")
    assert drawable("a野菜を", (FONT, "Big")) == "a野菜□"


def test_fonts_that_fill_every_gap_with_a_box_are_no_help():
    assert not [family for family in text_layout._installed() if family.startswith("Last Resort")]
    assert families(["\U000e0101"]) == (FONT,)
