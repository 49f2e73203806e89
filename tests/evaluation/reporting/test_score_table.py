"""What a reader sees of the scores, in each format, and what hostile text may do there: nothing."""

import json
import re
import shutil
import subprocess

import pytest

from tests.helpers.scored import TWO, fails, rows, score, text, write_files


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with systems and their references; the test runs inside it."""
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    return tmp_path


def test_few_matches_are_said_and_not_tested(files, capsys):
    """The one matched 4-gram of one system would be "significant" against the other's none."""
    (files / "none.txt").write_text(text(["x"] * 80), encoding="utf-8")
    arguments = ["none=none.txt", *TWO, "--baseline", "five"]
    found = rows(capsys, *arguments)
    assert found["none"]["scores"]["BLEU"]["extra"]["matches"] == [0, 0, 0, 0]
    assert "BLEU" not in found["none"]["comparison"]["p_values"]
    assert "BLEU" in found["seven"]["comparison"]["p_values"]
    assert "F1" in found["none"]["comparison"]["p_values"]
    assert score(*arguments) == 0
    out = capsys.readouterr().out
    assert "none: matched 4-grams: 0, so BLEU's interval means little" in out
    assert "five: matched" not in out
    line = next(line for line in out.splitlines() if line.startswith("none "))
    assert line.split()[1] == "0.00"


def test_no_intervals_no_word_about_them(files, capsys):
    assert score(*TWO[:-1], "0") == 0
    out = capsys.readouterr().out
    assert "±" not in out
    assert "p <" not in out
    assert "bs:" not in out


HOSTILE = "\x1b[31m\x9b2J|\u202e\n<b>`$x_{y}%&#~^\\input{x}--"


@pytest.mark.parametrize("style", ["text", "markdown", "latex", "json"])
def test_hostile_names_and_texts_are_text(files, capsys, style):
    """In the table, the notes and the errors."""
    (files / "bad.txt").write_text(text([HOSTILE.replace("\n", "\r"), "`|`", "\x1b]0;x\x07"]), encoding="utf-8")
    arguments = [f"{HOSTILE}=bad.txt", "b=bad.txt", "--reference", "bad.txt", "--format", style, "--out", "out"]
    assert score(*arguments) == 0
    out = (files / "out").read_text(encoding="utf-8")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", out)
    if style == "json":
        assert json.loads(out)["rows"][1]["name"] == HOSTILE
    assert "no such system; remedy: one of \\u001b[31m\\u009b2J|\\u202e\\u000a<b>" in fails(
        capsys, *arguments, "--baseline", "\x1bx"
    )


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")
def test_the_latex_table_compiles(files):
    arguments = [f"{HOSTILE}=base.gen", "[2]=ours.gen", "*ours=ours.gen", "--format", "latex", "--out", "table.tex"]
    assert score(*arguments) == 0
    page = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n\\input{table}\\end{document}\n"
    (files / "page.tex").write_text(page, encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "-no-shell-escape", "page.tex"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
