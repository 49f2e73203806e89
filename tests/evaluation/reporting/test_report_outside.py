"""Systems that were not trained here on a report's page: their numbers, the comparison at equal length, and bad files."""

import json

import pytest

from fairseq_latent.cli import main
from fairseq_latent.evaluation.metrics import score
from tests.helpers.report_runs import TEST, write_measured

from .test_report import Page

SMALL = ("--prior", "20", "--posterior", "10", "--cpu", "--bootstrap", "100")
REPLIES = ["yes", "no , not tea at all", "i see .", "why do you ask me that ?"]


def write(path, lines):
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A training that was measured, and the responses of another system; the test works beside them."""
    monkeypatch.chdir(tmp_path)
    write_measured(tmp_path / "ours", ["i see .", "why ?"])
    settings = {"top_p": 0.9}
    made = [{"id": place, "responses": [REPLIES[place % 4], "x"], "settings": settings} for place in range(len(TEST))]
    write(tmp_path / "theirs.jsonl", made[::-1])
    return tmp_path


def page(runs, data, *words):
    assert main(["report", *words, "--data", str(data), "--out", "page", *SMALL]) == 0
    text, markdown = ((runs / "page" / f"report.{kind}").read_text(encoding="utf-8") for kind in ("html", "md"))
    return Page(text).tables, markdown


def rows_of(table):
    return {row[0]: dict(zip(table[0], row, strict=True)) for row in table[1:]}


def test_their_numbers_are_those_of_score(runs, data_bin):
    tables, markdown = page(runs, data_bin, "ours=ours", "theirs=theirs.jsonl")
    systems = score.read_systems(["ours=ours/generate.test.txt", "theirs=theirs.jsonl"])
    for label, compared in (("Results", systems), ("Results at equal length", score.cut_alike(systems, "en", 1))):
        rows = rows_of(tables[label])
        assert list(rows) == ["Reference", "ours", "theirs"]
        for found in score.measure_systems(compared, resamples=100, seed=1):
            for name, decimals in (("dist-1", 2), ("length", 1)):
                low, high = found.scores[name].interval
                star = "*" if found.comparison and found.comparison.p_values.get(name, 1) < 0.05 else ""
                shown = f"{found.scores[name].value:.{decimals}f}{star}±{(high - low) / 2:.{decimals}f}"
                assert rows[found.name][name] == shown
    equal = rows_of(tables["Results at equal length"])
    assert equal["ours"]["length"].partition("±")[0] == equal["theirs"]["length"].partition("±")[0]
    assert rows_of(tables["Results"])["theirs"]["KLD"] == "–"
    assert "theirs was not trained here: its responses are those of theirs.jsonl, decoded with {" in markdown
    assert rows_of(tables["Beside the paper's numbers"])["theirs"]["what it is"] == "not trained here"
    assert [row[0] for row in tables["Budget of each training"]][1:] == ["ours"]
    assert "**theirs**, 2 distinct of 2:" in markdown
    assert "ours: trained once" not in markdown  # nothing is known of either


def test_equal_lengths_of_trainings_alone_where_asked(runs, data_bin):
    write_measured(runs / "other", ["no tea , thank you", "x"])
    tables, _ = page(runs, data_bin, "ours=ours", "other=other")
    assert "Results at equal length" not in tables
    tables, markdown = page(runs, data_bin, "ours=ours", "other=other", "--equal-length")
    assert list(rows_of(tables["Results at equal length"])) == ["Reference", "ours", "other"]
    assert "### At equal length" in markdown and "--equal-length" in markdown


def test_scores_that_were_computed_before(runs, data_bin):
    words = ["ours=ours/generate.test.txt", "theirs=theirs.jsonl", "--bootstrap", "100", "--equal-length"]
    assert main(["score", *words, "--json-out", "scores.json"]) == 0
    before = page(runs, data_bin, "ours=ours", "theirs=theirs.jsonl")[0]
    after, markdown = page(runs, data_bin, "ours=ours", "theirs=theirs.jsonl", "--scores", "scores.json")
    for label in ("Results", "Results at equal length"):
        assert after[label] == before[label]
    assert "decoded with" in markdown
    found = json.loads((runs / "scores.json").read_text())
    for row in found["rows"]:
        row["scores"]["MAUVE"] = {"value": 0.875, "signature": "mauve|c:5", "extra": {}}
    (runs / "scores.json").write_text(json.dumps(found))
    more, markdown = page(runs, data_bin, "ours=ours", "theirs=theirs.jsonl", "--scores", "scores.json")
    assert rows_of(more["Results"])["theirs"]["MAUVE"] == "0.875" and "- **MAUVE**: test; 0 to 1" in markdown


def test_ids_of_the_test_set(runs, data_bin):
    (runs / "ids").write_text("".join(f"c{place}:1\n" for place in range(len(TEST))))
    write(
        runs / "named.jsonl", [{"id": f"c{place}:1", "responses": [REPLIES[place % 4]]} for place in range(len(TEST))]
    )
    tables, markdown = page(runs, data_bin, "ours=ours", "named=named.jsonl", "--ids", "ids")
    assert (
        rows_of(tables["Results"])["named"]["length"]
        == rows_of(page(runs, data_bin, "ours=ours", "named=theirs.jsonl")[0]["Results"])["named"]["length"]
    )
    assert "--ids ids" in markdown


BAD = {
    "fewer contexts": ([{"responses": ["a"]}], "not the test set of the other runs (1 and 21 contexts"),
    "strange ids": (
        [{"id": f"q{place}", "responses": ["a"]} for place in range(len(TEST))],
        "id 'q0' is not in the test set",
    ),
    "blank": ([{"responses": [""]}] * len(TEST), "all responses are blank"),
    "another form": ([{"response": "a"}], "line 1: not of this form"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named_and_the_rest_is_reported(runs, data_bin, capsys, name):
    lines, message = BAD[name]
    write(runs / "bad.jsonl", lines)
    tables, markdown = page(runs, data_bin, "ours=ours", "bad=bad.jsonl")
    assert f"note: bad: bad.jsonl: {message}" in capsys.readouterr().err
    rows = rows_of(tables["Results"])
    assert rows["bad"]["length"] == "–" and rows["ours"]["length"] != "–"
    assert "## What is missing" in markdown and "Results at equal length" not in tables


def test_alone_it_needs_references(runs, data_bin, capsys):
    tables, _ = page(runs, data_bin, "theirs=theirs.jsonl")
    assert "theirs.jsonl: no references (T- lines)" in capsys.readouterr().err
    (runs / "tgt").write_text("".join(f"{reference}\n" for _, reference in TEST))
    tables, _ = page(runs, data_bin, "theirs=theirs.jsonl", "--reference", "tgt")
    assert list(rows_of(tables["Results"])) == ["Reference", "theirs"]
    assert main(["report", "a=none.jsonl", "--data", str(data_bin), "--out", "none", *SMALL]) == 2


def test_candidates_have_a_picture(runs, data_bin, capsys):
    lines = []
    for place, (source, reference) in enumerate(TEST):
        lines += [f"S-{place}\t{source}", f"T-{place}\t{reference}"]
        for score_, answer in ((0.5, reference), (0.25, "x y")):
            lines += [f"H-{place}\t{score_}\t{answer}", f"D-{place}\t{score_}\t{answer}"]
    (runs / "ours/candidates.mmi.txt").write_text("\n".join([*lines, "Generate test with beam=1: BLEU4 = 1"]) + "\n")
    (runs / "ours/candidates.broken.txt").write_text("x\n")
    _, markdown = page(runs, data_bin, "ours=ours")
    assert "## The best of N responses" in markdown and "a colour per file: ours, mmi](candidates.png)" in markdown
    assert (runs / "page/candidates.png").read_bytes().startswith(b"\x89PNG")
    err = capsys.readouterr().err
    assert "candidates.broken.txt: one response per context (lacking: the best of several candidates)" in err


def test_words_that_are_not_apart_are_cut_alike():
    """Japanese: as many words by MeCab in every place."""
    from fairseq_latent.evaluation.runs.response_files import Generation
    from fairseq_latent.text.word_tokenizers import tokenizer

    pytest.importorskip("MeCab")
    texts = {
        "a": ["今日はとてもいい天気ですね", "お茶が好きです"],
        "b": ["はい", "コーヒーも好きですし、お茶も好きです"],
    }
    systems = [
        score.System(name, "f", tuple(Generation(place, None, None, (text,)) for place, text in enumerate(of)))
        for name, of in texts.items()
    ]
    words = tokenizer("ja")
    cut = [
        [len(words([each.hypotheses[0]])[0].split()) for each in system.generations]
        for system in score.cut_alike(systems, "ja")
    ]
    assert cut == [[1, 4], [1, 4]]
