"""`fairseq-latent table personas`: tables of persona models from the files beside their checkpoints, finished or not."""

import csv
import io
import json

import pytest

from fairseq_latent.cli import main
from fairseq_latent.evaluation.analysis.sweep import Point, Sweep, as_json, read_sweep
from fairseq_latent.evaluation.reporting.page import marks
from fairseq_latent.evaluation.reporting.page_part import PARTS
from fairseq_latent.evaluation.reporting.published_results import CONVAI2
from fairseq_latent.evaluation.reporting.score_table import read_rows

LATENTS = {
    "kl": 2.5, "au": 3, "mi": 1.25, "rec_ppl": 30.0, "elbo_ppl": 34.5, "sentences": 21, "tokens": 130,
    "prior_ppl": 31.0, "prior_word_ppl": 61.0, "rec_word_ppl": 59.0, "elbo_word_ppl": 67.0, "words": 100,
    "signature": "split:test|prior-samples:3",
}  # fmt: skip
POINTS = (
    Point(None, 1, 0.3, 0.3, 8),
    Point(0.0, 1, 0.2, 0.2, 6),
    Point(0.0, 2, 0.3, 0.2, 7),
    Point(1.0, 1, 0.5, 0.2, 9),
    Point(1.0, 2, 0.5, 0.2, 9),
)
SWEEP = Sweep(POINTS, Point(None, 0, 0.4, 0.35, 10), "sweep|seeds:1,2\nP.Distance|own", 0.325)
PERCEPTION = {
    "purity": {"value": 0.5, "shuffled": 0.2, "points": 40},
    "untrained": {"value": 0.3},
    "profiles": 60,
    "signature": "perception|seed:1",
}


def score(value, **extra):
    return {"value": value, "signature": "P.Distance|own", "extra": extra}


@pytest.fixture
def runs(tmp_path):
    """A model that is finished, one without latents, one in training, one not begun; a fifth lacks its responses."""
    for name in ("full", "none", "training", "silent"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.log").write_text(
            '{"num_updates": "10", "wall": "1800"}\n{"num_updates": "20", "wall": "3600"}\n'
        )
    for name in ("full", "none", "silent"):
        found = LATENTS if name == "none" else LATENTS | {"fader_kl": 0.125}
        (tmp_path / name / "done").write_text("20 0\n")
        (tmp_path / name / "latents.test.json").write_text(json.dumps(found))
    (tmp_path / "full/sweep.json").write_text(as_json(SWEEP))
    (tmp_path / "full/perception.json").write_text(json.dumps(PERCEPTION))
    rows = [
        {"name": name, "scores": {"Distinct-1": score(0.1 * place), "P.Distance": score(0.4, to_other_profiles=0.375)}}
        for place, name in enumerate(("Reference", "Full", "No latents"))
    ]
    (tmp_path / "scores.json").write_text(json.dumps({"rows": rows}))
    names = {"Full": "full", "No latents": "none", "In training": "training", "To come": "later", "Silent": "silent"}
    return [f"{name}={tmp_path / folder}" for name, folder in names.items()]


def cells(page, row, table):
    """The cells of a row in the table-th table that has it."""
    found = [line for line in page.splitlines() if line.startswith(f"| {row} ")]
    return [cell.strip() for cell in found[table].split("|")[2:-1]]


def test_all_measures_on_one_page(runs, tmp_path, capsys):
    page, numbers = tmp_path / "docs/page.md", tmp_path / "docs/page.csv"
    pictures = [f"Full={tmp_path / 'docs/pictures/a=b.png'}"]
    flags = ["--scores", tmp_path / "scores.json", "--page", page, "--csv", numbers, "--pictures", *pictures]
    assert main(["table", "personas", *runs, *map(str, flags)]) == 0
    printed = capsys.readouterr()
    assert (
        "Not finished yet: In training (at 20 updates); To come (not begun); Silent (without responses and sweep and "
        "profiles)." in printed.err
    )
    text = page.read_text(encoding="utf-8")
    assert cells(text, "Full", 0) == ["31.00", "30.00", "34.50", "61.00", "59.00", "67.00"]
    assert cells(text, "In training", 0) == ["–"] * 6
    assert cells(text, "Full", 1) == ["0.100", *["–"] * 5, "0.400", "0.375", "–", "–"]
    assert cells(text, "people", 0) == ["0.000", *["–"] * 5, "0.400", "0.375", "–", "–"]
    carried = ["2.50", "0.125", "3", "1.25", "0.500", "0.300", "0.200", "0.94", "0.94"]
    assert cells(text, "Full", 2) == carried  # rho: ranks 1.5 1.5 3.5 3.5 against 1 2 3.5 3.5, 4 / sqrt(4 * 4.5)
    assert "No latents" not in text.partition("What the latents carry")[2]
    assert cells(text, "0", 0) == ["0.250", "0.750", "0.200", "6.5"]  # the mean over seeds
    assert cells(text, "the prior's own, 0.33 on average", 0) == ["0.300", "0.700", "0.300", "8.0"]
    assert "- `sweep|seeds:1,2`" in text and "- `perception|seed:1`" in text
    assert "![Full](pictures/a=b.png)" in text and "`P.Distance|own`" in text and "prior-samples:3" in text
    assert cells(text, "DialoGPT", 0) == ["14.966", "0.139", "0.417", "0.359"] and len(CONVAI2) == 6
    assert str(tmp_path) not in text
    rows = {row["row"]: row for row in csv.DictReader(io.StringIO(numbers.read_text(encoding="utf-8")))}
    assert (rows["Full"]["rho_to_others"], rows["Full"]["hours"], rows["Full"]["purity"]) == (
        "",
        "1.000000",
        "0.500000",
    )
    assert (rows["people"]["to others"], rows["To come"]["state"], rows["No latents"]["kl"]) == (
        "0.375000",
        "not begun",
        "2.500000",
    )


def test_what_the_profile_is_worth_has_its_interval(runs, tmp_path, capsys):
    """Where it was measured, beside rows of earlier versions."""
    found = {"other_ppl": 30.6, "worth": 0.126, "worth_low": -0.05, "worth_high": 0.31, "worth_over_prior": 2.0}
    file = tmp_path / "silent/latents.test.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | found | {"dialogues": 9}))
    assert main(["table", "personas", *runs, "--csv", str(tmp_path / "n.csv"), "--format", "markdown"]) == 0
    printed = capsys.readouterr().out
    assert cells(printed, "Silent", 2)[4:6] == ["0.126 ±0.180", "2.000"]
    assert cells(printed, "Full", 2)[4:6] == ["–", "–"]
    rows = {row["row"]: row for row in csv.DictReader(io.StringIO((tmp_path / "n.csv").read_text()))}
    assert (rows["Silent"]["worth_low"], rows["Silent"]["dialogues"], rows["Full"]["worth"]) == ("-0.050000", "9", "")


def test_seeds_are_a_row(runs, tmp_path, capsys):
    """Means and deviations: of 2.5 and 3.5 3 and .7071; what `score` measured is a mean already."""
    other = json.loads((tmp_path / "full/latents.test.json").read_text()) | {"kl": 3.5, "au": 4}
    worth = {"worth": 1.0, "worth_low": 0.7, "worth_high": 1.3, "dialogues": 9}
    for folder, found in (("full", LATENTS | {"fader_kl": 0.125} | worth), ("silent", other | worth | {"worth": 2.0})):
        (tmp_path / folder / "latents.test.json").write_text(json.dumps(found))
    responses = {"Distinct-1": score(0.2, sd=0.05), "P.Distance": score(0.4, to_other_profiles=0.375, sd=0.125)}
    (tmp_path / "seeds.json").write_text(json.dumps({"rows": [{"name": "M", "seeds": 2, "scores": responses}]}))
    words = ["table", "personas", f"M={tmp_path}/full,{tmp_path}/silent", f"N={tmp_path}/none", "--format", "markdown"]
    words += ["--scores", str(tmp_path / "seeds.json"), "--csv", str(tmp_path / "n.csv")]
    assert main(words) == 0
    printed = capsys.readouterr()
    carried = cells(printed.out, "M", 2)
    assert carried[:3] == ["3.00 sd 0.71", "0.125 sd 0.000", "4 sd 0.7"]  # 3.5 dimensions
    # worth: halves .3, mean .3; 1.96 * .7071 / sqrt 2 = .98: root of .3^2 + .98^2 = 1.0249
    assert carried[4] == "1.500 ±1.025 sd 0.707"
    assert cells(printed.out, "M", 1)[0] == "0.200 sd 0.050" and cells(printed.out, "M", 1)[6:8] == [
        "0.400 sd 0.125",
        "0.375",
    ]
    assert "Means over seeds, with their standard deviation (sd): M (2)." in printed.err
    before = (tmp_path / "n.csv").read_text()
    rows = {row["row"]: row for row in csv.DictReader(io.StringIO(before))}
    assert (rows["M"]["seeds"], rows["M"]["kl_sd"], rows["N"]["kl_sd"]) == ("2", "0.707107", "")
    for folder in ("full", "silent"):
        (tmp_path / folder).rename(tmp_path / f"gone-{folder}")
    assert main(words) == 0
    assert (tmp_path / "n.csv").read_text() == before


def test_what_people_wrote_stays(runs, tmp_path):
    page = tmp_path / "page.md"
    begin, end = marks(PARTS["personas"].name)
    page.write_text(f"# Mine\n\n{begin}\nold\n{end}\n\nAfter.\n", encoding="utf-8")
    assert main(["table", "personas", *runs, "--page", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Mine\n\n<!--") and text.endswith("-->\n\nAfter.\n") and "old" not in text


def test_the_page_comes_from_its_files_where_the_trainings_are_gone(runs, tmp_path):
    """Of another machine: numbers, signatures and faders are all in the CSV and the file of curves."""
    page, numbers, curves = (tmp_path / name for name in ("page.md", "page.csv", "sweeps.jsonl"))
    words = ["table", "personas", *runs, "--page", str(page), "--csv", str(numbers), "--curves", str(curves)]
    assert main([*words, "--scores", str(tmp_path / "scores.json")]) == 0
    before = [file.read_text(encoding="utf-8") for file in (page, numbers, curves)]
    for folder in ("full", "none", "training", "silent"):
        (tmp_path / folder).rename(tmp_path / f"gone-{folder}")
    (tmp_path / "full").mkdir()
    assert main(words) == 0
    after = [file.read_text(encoding="utf-8") for file in (page, numbers, curves)]
    without_log = [text.replace("at 20 updates", "not begun") for text in before]  # of the row that was in training
    assert after[0] == without_log[0] and after[2] == before[2]
    rows, others = ({line.split(",")[0]: line for line in text.splitlines()} for text in (after[1], before[1]))
    assert rows.keys() == others.keys() and {name for name in rows if rows[name] != others[name]} == {"In training"}
    curves.write_text("{}\n")
    assert main(words) == 2


def test_a_sweep_is_read_back_as_it_was(tmp_path):
    (tmp_path / "sweep.json").write_text(as_json(SWEEP))
    assert read_sweep(tmp_path / "sweep.json") == SWEEP
    assert json.loads(as_json(SWEEP))["spearman"]["to_others"] == {"rho": None, "p": None}


@pytest.mark.parametrize(
    ("file", "content"),
    [("full/sweep.json", "a,b\n1,2\n"), ("full/perception.json", "{}"), ("full/latents.test.json", "[]")],
)
def test_damaged_files_are_named(runs, tmp_path, capsys, file, content):
    (tmp_path / file).write_text(content)
    assert main(["table", "personas", *runs]) == 2
    assert f"{tmp_path / file}: the" in capsys.readouterr().err.replace("this is", "the")


def test_what_does_not_fit(runs, tmp_path, capsys):
    (tmp_path / "bad.json").write_text('{"rows": [1]}')
    assert main(["table", "personas", *runs, "--scores", str(tmp_path / "bad.json")]) == 2
    assert "these are no scores; remedy" in capsys.readouterr().err
    assert main(["table", "personas", *runs, "--page", str(tmp_path / "p.md"), "--pictures", "Nobody=x.png"]) == 2
    assert "no row of that name; remedy" in capsys.readouterr().err and not (tmp_path / "p.md").exists()
    assert read_rows(tmp_path / "scores.json")["Full"].scores["P.Distance"].signature == "P.Distance|own"
