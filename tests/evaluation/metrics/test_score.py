"""`fairseq-latent score` as a user runs it, and its rows."""

import json
import random
import subprocess
import sys

import pytest

from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.metrics.score import measure_systems, read_systems
from fairseq_latent.evaluation.runs.response_files import read_generations
from tests.helpers.scored import BASE, REFERENCES, fails, generated, rows, score, text, write_files


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with systems and their references; the test runs inside it."""
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    return tmp_path


def test_table(files, capsys):
    files = ["base=base.txt", "ours=ours.txt", "--reference", "references.txt"]
    assert score(*files, "--lang", "none", "--bootstrap", "0") == 0
    lines = capsys.readouterr().out.splitlines()
    header = ["system", "BLEU", "dist-1", "dist-2", "Distinct-1", "Distinct-2", "F1", "dup.", "gzip", "length"]
    assert lines[0].split() == header
    assert [line.split()[0] for line in lines[2:5]] == ["Reference", "base", "ours"]
    import gzip

    GZIP = f"{len(text(REFERENCES)) / len(gzip.compress(text(REFERENCES).encode(), 9, mtime=0)):.2f}"
    # References: 5 + 6 + 5 = 16 words, of which "." stands three times: 14 distinct, 14 / 16 = 87.50 %;
    # 4 + 5 + 4 = 13 bigrams, all distinct; 13 / 16 = 0.8125; 16 / 3 = 5.3 words per line.
    assert lines[2].split() == ["Reference", "–", "87.50", "100.00", "0.875", "0.812", "–", "0.0", GZIP, "5.3"]
    assert lines[6].startswith("base: 1 of 1 responses to each of 3 contexts; BLEU = ")
    assert "bleu|nrefs:1|case:mixed|tok:none|smooth:none|version:sacrebleu-" in "\n".join(lines)


def test_generated_files_and_text_agree(files, capsys):
    assert score("base=base.txt", "ours=ours.txt", "--reference", "references.txt") == 0
    expected = capsys.readouterr().out
    assert score("base=base.gen", "ours=ours.gen") == 0
    assert capsys.readouterr().out == expected


def test_order_of_lines_changes_no_score(files, capsys):
    lines = (files / "ours.gen").read_text(encoding="utf-8").splitlines(keepends=True)
    random.Random(1).shuffle(lines)
    (files / "shuffled.gen").write_text("".join(lines), encoding="utf-8")
    assert score("x=ours.gen") == 0
    expected = capsys.readouterr().out
    assert score("x=shuffled.gen") == 0
    assert capsys.readouterr().out == expected


def test_json_holds_values_and_signatures(files, capsys):
    assert score("base=base.gen", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["name"] for row in rows] == ["Reference", "base"]
    bleu = rows[1]["scores"]["BLEU"]
    assert set(bleu) == {"name", "value", "signature", "extra", "interval"}
    assert len(bleu["extra"]["precisions"]) == 4
    assert "BLEU" not in rows[0]["scores"]


def test_markdown_goes_to_a_file(files, capsys):
    assert score("base=base.gen", "--format", "markdown", "--out", "results/table.md") == 0
    assert capsys.readouterr().out == ""
    assert (files / "results" / "table.md").read_text(encoding="utf-8").startswith("| system")


def test_a_perfect_system(files):
    row = measure_systems(read_systems(["same=references.txt"], ["references.txt"]), "none")[1]
    assert row.scores["BLEU"].value == pytest.approx(100)
    assert row.scores["F1"].value == pytest.approx(100)


def test_without_references(files, capsys):
    assert score("base=base.txt") == 0
    out = capsys.readouterr().out
    assert "Reference" not in out
    assert "neither BLEU nor F1; remedy: --reference FILE" in out


def test_first_of_several_responses(files):
    row = measure_systems(read_systems(["many=many.gen"]), "none")[1]
    assert (row.responses_given, row.responses_measured) == (2, 1)
    # First responses: "a b", "a b", "d": 3 distinct of 5 words.
    assert row.scores["dist-1"].value == pytest.approx(60)
    assert "inter-dist-1" not in row.scores


def test_all_of_several_responses(files):
    row = measure_systems(read_systems(["many=many.gen"]), "none", "all")[1]
    # All: a b a b | a b c | d e: 5 distinct of 9 words; within contexts 2/4, 3/3 and 2/2.
    assert row.scores["dist-1"].value == pytest.approx(100 * 5 / 9)
    assert row.scores["inter-dist-1"].value == pytest.approx(100 * (2 / 4 + 3 / 3 + 2 / 2) / 3)
    assert row.scores["BLEU"].extra["reference_words"] == 2 * (5 + 6 + 5)


def test_japanese(files, capsys):
    pytest.importorskip("MeCab")
    (files / "ja.txt").write_text("今日 は良い天気ですね\n", encoding="utf-8")
    (files / "ja.ref").write_text("今日は良い天気ですね\n", encoding="utf-8")
    assert score("ja=ja.txt", "--reference", "ja.ref", "--lang", "ja") == 0
    row = capsys.readouterr().out.splitlines()[3].split()
    assert (row[1], row[6], row[-1]) == ("100.00", "100.00", "6.0")  # 今日 は 良い 天気 です ね


def test_several_references(files, capsys):
    """Either order of the flag, from T- lines or text; a blank line in a further file is no reference."""
    from sacrebleu.metrics import BLEU

    (files / "second.txt").write_text(text(["I like green tea too .", "", "so late now"]), encoding="utf-8")
    found = rows(capsys, "base=base.txt", "--reference", "references.txt", "second.txt", "--lang", "none")["base"]
    bleu = BLEU(tokenize="none", smooth_method="none", force=True)
    expected = bleu.corpus_score(BASE, [REFERENCES, ["I like green tea too .", None, "so late now"]]).score
    assert found["scores"]["BLEU"]["value"] == pytest.approx(expected)
    assert "|nrefs:var|" in found["scores"]["BLEU"]["signature"]
    twice = ["--reference", "references.txt", "--reference", "second.txt"]
    assert rows(capsys, *twice, "--lang", "none", "base=base.txt")["base"] == found
    generated_row = rows(capsys, "base=base.gen", *twice, "--lang", "none")["base"]
    assert generated_row == found | {"file": "base.gen"}


def test_the_first_reference_is_the_row_of_references(files, capsys):
    many = ["--reference", "references.txt", "base.txt", "--lang", "none"]
    one = rows(capsys, "base=base.txt", "--reference", "references.txt", "--lang", "none")["Reference"]
    found = rows(capsys, "base=base.txt", *many)
    assert found["Reference"] == one
    assert found["base"]["scores"]["BLEU"]["value"] == pytest.approx(100)
    assert found["base"]["scores"]["F1"]["value"] == pytest.approx(100)
    assert "|nrefs:2|" in found["base"]["scores"]["BLEU"]["signature"]


def test_reference_files_that_do_not_fit(files, capsys):
    for name, content, complaint in [
        ("short.txt", "one\n", "3 responses, but short.txt has 1 lines"),
        ("empty.txt", "", "empty.txt: the file is empty"),
        ("blank.txt", "\n \n\n", "blank.txt: all 3 lines are blank"),
    ]:
        (files / name).write_text(content, encoding="utf-8")
        assert complaint in fails(capsys, "a=base.txt", "--reference", "references.txt", name)
    (files / "latin.txt").write_bytes("a\nb\ncaf\u00e9\n".encode("latin-1"))
    assert "latin.txt: line 3: invalid UTF-8" in fails(capsys, "a=base.txt", "--reference", "latin.txt")


def test_bad_specifications(files, capsys):
    assert "base.txt: a system needs a name" in fails(capsys, "base.txt")
    assert "needs a name" in fails(capsys, "=base.txt")
    assert "'a' stands twice" in fails(capsys, "a=base.txt", "a=ours.txt")


def test_missing_file(files, capsys):
    assert score("a=nothing.txt") == 2
    assert capsys.readouterr().err == "error: nothing.txt: No such file or directory; remedy: check the path\n"


def test_different_test_sets(files, capsys):
    (files / "short.txt").write_text("one\n", encoding="utf-8")
    assert "answer 3 and 1 contexts" in fails(capsys, "a=base.txt", "b=short.txt")
    other = generated([["x"]] * 3, [*REFERENCES[:2], "something else ."])
    (files / "other.gen").write_text(other, encoding="utf-8")
    assert "different references at id 2" in fails(capsys, "a=base.gen", "b=other.gen")
    assert "only one of a (base.gen) and b (ours.txt) brings references" in fails(capsys, "a=base.gen", "b=ours.txt")
    assert score("a=base.gen", "b=other.gen", "--reference", "references.txt") == 0


def test_references_that_a_dictionary_lacks_words_of_are_told_of(files, capsys):
    (files / "a.gen").write_text(generated([[line] for line in BASE], ["I <<unk>> tea", *REFERENCES[1:]]), "utf-8")
    assert score("a=a.gen", "b=a.gen") == 0
    (note,) = capsys.readouterr().err.splitlines()
    assert note.startswith("note: 1 of 3 references have <<unk>> for what the dictionary lacks; remedy: --reference ")
    assert score("a=a.gen", "--reference", "references.txt") == score("a=base.gen") == score("a=base.txt") == 0
    assert capsys.readouterr().err == ""


def test_different_numbers_of_responses(files, capsys):
    assert "(base 1, many 2)" in fails(capsys, "base=base.gen", "many=many.gen", "--hypothesis", "all")
    assert score("base=base.gen", "many=many.gen") == 0


def test_a_failed_command_leaves_no_file(files, capsys):
    fails(capsys, "a=base.gen", "b=ours.txt", "--out", "table.txt")
    assert not (files / "table.txt").exists()


def test_score_loads_neither_torch_nor_fairseq(files):
    code = (
        "import sys; from fairseq_latent.cli import main; "
        "assert main(['score', 'base=base.gen', '--out', 'table.txt']) == 0; "
        "sys.exit(bool({'torch', 'fairseq', 'fairseq_latent.models'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_score_without_a_column_is_an_error(files, monkeypatch):
    """It would be measured and never shown."""
    from fairseq_latent.evaluation.metrics import score as module

    monkeypatch.delitem(module.SCORES, "length")
    with pytest.raises(LookupError, match="no column for length: add it to SCORES in registry.py"):
        measure_systems(read_systems(["a=base.gen"]))


def test_reading_functions_agree(files):
    assert read_systems(["a=base.gen"])[0].generations == tuple(read_generations("base.gen"))
    with pytest.raises(InputError, match="no tokeniser"):
        measure_systems(read_systems(["a=base.gen"]), "de")
