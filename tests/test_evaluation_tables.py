"""The table renderer."""

from html.parser import HTMLParser

import pytest

from fairseq_latent.evaluation.tables import Column, render

COLUMNS = [Column("system"), Column("BLEU", 2), Column("length", 1)]
ROWS = [["base", 1.234, 10], ["ours|new", None, 9.96]]


def test_text_by_hand():
    assert render(COLUMNS, ROWS).splitlines() == [
        "system      BLEU    length",
        "--------  ------  --------",
        "base        1.23      10.0",
        "ours|new       –      10.0",
    ]


def test_markdown_by_hand():
    assert render(COLUMNS, ROWS, "markdown").splitlines() == [
        "| system    |   BLEU |   length |",
        "|:----------|-------:|---------:|",
        "| base      |   1.23 |     10.0 |",
        "| ours\\|new |      – |     10.0 |",
    ]


def test_html_is_escaped_and_aligned():
    html = render([Column("a<b"), Column("x", 1)], [["<script>", 1.0]], "html")
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert 'text-align: right;">1.0' in html.replace("  ", " ")
    HTMLParser().feed(html)


def test_a_name_of_digits_stays_a_name():
    assert "007" in render([Column("system"), Column("x", 1)], [["007", 1.0]])


def test_not_a_number_is_missing_and_no_rows_is_a_header():
    assert "nan" not in render([Column("x", 1)], [[float("nan")]])
    assert "BLEU" in render(COLUMNS, [])


def test_a_short_row_is_an_error():
    with pytest.raises(ValueError, match="zip"):
        render(COLUMNS, [["base"]])
