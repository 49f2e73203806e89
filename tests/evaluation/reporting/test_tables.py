"""The table renderer, and what text from outside may do in it: nothing."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from fairseq_latent.evaluation.tables import FORMATS, Column, Estimate, markdown_code, render

COLUMNS = [Column("system"), Column("BLEU", 2), Column("length", 1)]
ROWS = [["base", 1.234, 10], ["ours|new", None, 9.96]]
ESTIMATES = [
    ["base", Estimate(1.234, (1.0, 1.4)), Estimate(10)],
    ["ours", Estimate(12.5, (12.0, 13.5), significant=True), None],
]
HOSTILE = "a\x1b[31m|b\n\x9b2J <script>alert('x')</script> `c` *d* _e_ \\input{f} $g$ & 100% #1 ^~ \u202eh\udcff\ttab"


def test_there_is_no_negative_zero():
    assert [Column("MI", 2).cell(value) for value in (-0.001, -0.0, 0.001, -0.006)] == ["0.00", "0.00", "0.00", "-0.01"]


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


def test_latex_by_hand():
    assert render(COLUMNS, ROWS, "latex").splitlines() == [
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"system & BLEU & length \\",
        r"\midrule",
        r"base & $1.23$ & $10.0$ \\",
        r"ours\textbar{}new & -- & $10.0$ \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_intervals_by_hand():
    """Half of the width: (1.4 - 1.0) / 2 = 0.20 and (13.5 - 12.0) / 2 = 0.75."""
    assert render(COLUMNS, ESTIMATES).splitlines() == [
        "system      BLEU    length",
        "--------  ------  --------",
        "base        1.23      10.0",
        "           ±0.20",
        "ours      *12.50         –",
        "           ±0.75",
    ]
    markdown = render(COLUMNS, ESTIMATES, "markdown").splitlines()
    assert [line.split("|")[2].strip() for line in markdown[2:]] == ["1.23 ±0.20", r"12.50\* ±0.75"]
    latex = render(COLUMNS, ESTIMATES, "latex")
    assert r"base & $1.23_{\pm 0.20}$ & $10.0$ \\" in latex
    assert r"ours & $12.50^{*}_{\pm 0.75}$ & -- \\" in latex
    assert "12.50* ±0.75" in render(COLUMNS, ESTIMATES, "html")


def test_deviations_over_seeds_by_hand():
    rows = [["ours", Estimate(12.5, (12.0, 13.5), True, 0.125), Estimate(3, None, False, 0.04)]]
    assert render(COLUMNS, rows).splitlines()[2:] == [
        "ours       *12.50       3.0",
        "            ±0.75    sd 0.0",
        "          sd 0.12",
    ]
    assert r"12.50\* ±0.75 sd 0.12 |" in render(COLUMNS, rows, "markdown")
    assert r"ours & $12.50^{*}_{\pm 0.75,\ \mathrm{sd} 0.12}$ & $3.0_{\mathrm{sd} 0.0}$ \\" in render(
        COLUMNS, rows, "latex"
    )
    assert render([Column("n"), Column("AU", 0)], [["x", Estimate(3, None, False, 0.6)]]).endswith("sd 0.6")


def test_html_is_escaped_and_aligned():
    html = render([Column("a<b"), Column("x", 1)], [["<script>", 1.0]], "html")
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert 'text-align: right;">1.0' in html.replace("  ", " ")
    HTMLParser().feed(html)


@pytest.mark.parametrize("style", FORMATS)
def test_control_characters_appear_as_text(style):
    rendered = render([Column(HOSTILE), Column("x", 1)], [[HOSTILE, 1.0]], style)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\udcff]", rendered)
    visible = rendered.replace(r"\textbackslash{}", "\\").replace(r"\\u", r"\u")
    assert all(visible.count(rf"\u{code}") == 2 for code in ("001b", "000a", "009b", "202e", "dcff", "0009"))
    assert len(rendered.splitlines()) == len(render([Column("a"), Column("x", 1)], [["a", 1.0]], style).splitlines())


def test_hostile_markdown_is_text():
    row = render([Column("a")], [[HOSTILE]], "markdown").splitlines()[2]
    assert len(re.findall(r"(?<!\\)\|", row)) == 2  # the cell's own two borders
    assert r"\`c\` \*d\* \_e\_" in row
    assert "&lt;script&gt;" in row
    assert "t_cvae" in render([Column("a")], [["t_cvae"]], "markdown")  # no emphasis inside a word
    assert "&lt;" in render([Column("a")], [["<"]], "markdown")
    assert "&amp;lt;" in render([Column("a")], [["&lt;"]], "markdown")


@pytest.mark.parametrize(("text", "code"), [("a|b", "`a|b`"), ("a`b", "`` a`b ``"), ("``", "``` `` ```")])
def test_markdown_code_by_hand(text, code):
    assert markdown_code(text) == code


def test_latex_equals_tabulate():
    """Its latex_booktabs has the same frame and the same escapes; it would also escape our formulas."""
    from tabulate import tabulate

    names = [["a_b & 100%", "#1 {c} $d$"], ["~e", "^f \\g <h>"]]
    theirs = tabulate(names, headers=["x_y", "z"], tablefmt="latex_booktabs", disable_numparse=True)
    ours = render([Column("x_y"), Column("z")], names, "latex")

    def bare(latex):
        return re.sub(r"\s+|\\ensuremath|\{\}|\$<|\$>", "", latex)

    frame = [line for line in theirs.splitlines() if line.startswith(("\\begin", "\\end")) or line.endswith("rule")]
    assert frame == [
        line for line in ours.splitlines() if line.startswith(("\\begin", "\\end")) or line.endswith("rule")
    ]
    assert bare(ours.splitlines()[2]) == bare(theirs.splitlines()[2])
    assert bare(ours.splitlines()[4]) == bare(theirs.splitlines()[4])


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")
def test_latex_compiles(tmp_path):
    table = render([Column(HOSTILE), COLUMNS[1], COLUMNS[2]], [[HOSTILE, *ESTIMATES[1][1:]]], "latex")
    (tmp_path / "table.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n" + table + "\n\\end{document}\n",
        encoding="utf-8",
    )
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "-no-shell-escape", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_a_name_of_digits_stays_a_name():
    assert "007" in render([Column("system"), Column("x", 1)], [["007", 1.0]])


def test_not_a_number_is_missing_and_no_rows_is_a_header():
    assert "nan" not in render([Column("x", 1)], [[float("nan")]])
    assert all("BLEU" in render(COLUMNS, [], style) for style in FORMATS)


def test_a_short_row_is_an_error():
    with pytest.raises(ValueError, match="zip"):
        render(COLUMNS, [["base"]])
