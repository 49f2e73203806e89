"""`fairseq-latent table sentences`: the table of remedies, with what is not finished said, and the page around it kept."""

import csv
import io
import json

import pytest

from fairseq_latent.cli import main
from fairseq_latent.evaluation.reporting.page import marks
from fairseq_latent.evaluation.reporting.page_part import PARTS
from fairseq_latent.evaluation.reporting.published_results import PENN_TREEBANK

BEGIN, END = marks(PARTS["sentences"].name)
NUMBERS = {"kl": 2.5, "au": 3, "mi": 1.25, "rec_ppl": 90.0, "elbo_ppl": 101.5, "sentences": 21, "tokens": 130}


def statistics(signature="split:test|seed:1", **changes) -> str:
    return json.dumps({**NUMBERS, "signature": signature, **changes})


@pytest.fixture
def runs(tmp_path):
    """Three rows: finished with importance weights, in training, not begun; a fourth finished without weights."""
    log = [
        {"num_updates": "10", "kl": "0.5", "kl_weight": "0.1", "wall": "1800", "inner_steps": "30"},
        {"valid_num_updates": "10", "valid_kl": "0.4"},
        {"num_updates": "20", "kl": "2", "kl_weight": "0.2", "wall": "3600", "inner_steps": "45"},
    ]
    for name in ("kla", "ca", "at", "best5"):
        (tmp_path / name).mkdir()
    for name, length in (("kla", 3), ("ca", 2), ("best5", 3)):
        (tmp_path / name / "train.log").write_text("".join(f"{json.dumps(line)}\n" for line in log[:length]))
    for name in ("kla", "best5"):
        (tmp_path / name / "done").write_text("20 0\n")
        (tmp_path / name / "latents.test.json").write_text(statistics())
        (tmp_path / name / "latents.valid.json").write_text(statistics(kl=2.25))
    (tmp_path / "kla/latents.test.iw.json").write_text(statistics("split:test|seed:1|iw-samples:500", iw_ppl=99.5))
    (tmp_path / "ca/latents.test.json").write_text(statistics())  # of a smaller budget: not done
    names = {
        "+ KL annealing": "kla",
        "+ cyclical annealing": "ca",
        "+ aggressive training": "at",
        "+ best of 5": "best5",
    }
    return [f"{name}={tmp_path / folder}" for name, folder in names.items()]


def test_finished_rows_stand_beside_the_papers(runs, tmp_path, capsys):
    files = [tmp_path / name for name in ("docs/page.md", "docs/page.csv", "docs/kl.csv")]
    picture = ("--picture", str(tmp_path / "docs/pictures/kl.png"))
    flags = [
        word for flag, file in zip(("--page", "--csv", "--curves"), files, strict=True) for word in (flag, str(file))
    ]
    assert main(["table", "sentences", *runs, *flags, *picture]) == 0
    printed = capsys.readouterr()
    assert "Not finished yet: + cyclical annealing (at 10 updates); + aggressive training (not begun)." in printed.err
    assert "Not weighted by importance yet: + best of 5." in printed.err
    page, numbers, curves = (file.read_text(encoding="utf-8") for file in files)
    cells = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]]
        for line in page.splitlines()
        if "|" in line
    }
    assert cells["+ KL annealing"] == ["53.56", "3", "2.51", "90.00", "101.50", "99.50", "3", "2.50", "1.25"]
    assert cells["+ cyclical annealing"] == ["51.55", "2", "3.77", *["–"] * 6]
    assert cells["+ best of 5"] == [*["–"] * 3, "90.00", "101.50", "–", "3", "2.50", "1.25"]
    assert "20 updates each" in page and "iw-samples:500" in page and str(tmp_path) not in page
    assert "Figure 7)](pictures/kl.png)" in page
    rows = {row["row"]: row for row in csv.DictReader(io.StringIO(numbers))}
    kla = rows["+ KL annealing"]
    assert (kla["updates"], kla["hours"], kla["valid_kl"], kla["iw_ppl"]) == ("20", "1.00", "2.2500", "99.5000")
    assert kla["inner_steps"] == "75"  # 30 in the first ten updates, 45 in the next
    assert rows["+ aggressive training"]["signature"] == rows["+ aggressive training"]["updates"] == ""
    assert rows["+ cyclical annealing"]["updates"] == "10" and rows["+ cyclical annealing"]["kl"] == ""
    assert (tmp_path / "docs/pictures/kl.png").read_bytes().startswith(b"\x89PNG")
    assert curves.splitlines()[:3] == [
        "row,split,update,kl,kl_weight",
        "+ KL annealing,train,10,0.5,0.1",
        "+ KL annealing,train,20,2.0,0.2",
    ]


def test_what_people_wrote_around_the_table_stays(runs, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Mine\n\nBefore.\n\n{BEGIN}\nold\n{END}\n\nAfter.\n", encoding="utf-8")
    for _ in range(2):
        assert main(["table", "sentences", *runs, "--page", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Mine\n\nBefore.\n\n<!--") and text.endswith("-->\n\nAfter.\n")
    assert "old" not in text and text.count("| + KL annealing ") == 1
    page.write_text(f"# Mine\n{BEGIN}\n", encoding="utf-8")
    assert main(["table", "sentences", *runs, "--page", str(page)]) == 2


@pytest.fixture
def shown(tmp_path):
    """collapse(RUN, ..., *flags) into one page with its CSV and curves -> (exit status, CSV by row, page)."""
    page, numbers, curves = (tmp_path / name for name in ("page.md", "page.csv", "kl.csv"))

    def collapse(*words):
        status = main(
            ["table", "sentences", *words, "--page", str(page), "--csv", str(numbers), "--curves", str(curves)]
        )
        rows = list(csv.DictReader(io.StringIO(numbers.read_text(encoding="utf-8"))))
        return status, {row["row"]: row for row in rows}, page.read_text(encoding="utf-8"), curves.read_text()

    return collapse


def test_rows_whose_trainings_are_gone_stay(runs, tmp_path, shown):
    """Another machine's trainings, or another day's: one row trained anew takes its own place alone."""
    _, before, _, curves_before = shown(*runs)
    anew = tmp_path / "another/kla"
    anew.mkdir(parents=True)
    (anew / "train.log").write_text(json.dumps({"num_updates": "20", "kl": "7", "kl_weight": "1"}) + "\n")
    _, unfinished, _, curves = shown(f"+ KL annealing={anew}")
    assert unfinished == before and curves == curves_before  # until it is finished the old row stays, its curve too
    (anew / "done").touch()
    (anew / "latents.test.json").write_text(statistics(kl=7.125))
    status, after, page, curves = shown(f"+ KL annealing={anew}", f"+ free bits={tmp_path / 'best5'}")
    assert status == 0 and list(after) == [*before, "+ free bits"]  # the old order, then what is new
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"+ KL annealing"} and after["+ KL annealing"]["kl"] == "7.1250"
    assert "+ KL annealing,train,20,7.0,1.0\n" in curves and "+ KL annealing,train,10" not in curves
    assert [line for line in curves.splitlines() if "best" in line] == [
        line for line in curves_before.splitlines() if "best" in line
    ]
    assert "20 updates each" in page and "Signature of the numbers" in page


def test_weights_of_an_earlier_checkpoint_are_not_shown(runs, tmp_path, shown):
    """Trained on, measured again, not yet weighted again."""
    assert shown(*runs)[1]["+ KL annealing"]["iw_ppl"] == "99.5000"
    (tmp_path / "kla/latents.test.json").write_text(statistics(kl=2.25))
    _, rows, page, _ = shown(*runs)
    assert rows["+ KL annealing"]["iw_ppl"] == "" and "iw-samples" not in page
    assert "Not weighted by importance yet: + KL annealing; + best of 5." in page


def test_rows_of_another_test_set_are_not_mixed(runs, tmp_path, shown, capsys):
    shown(*runs)
    (tmp_path / "kla/latents.test.json").write_text(statistics(tokens=131))
    status, _, _, _ = shown(runs[0])
    said = "+ best of 5, written before, has 130 test tokens, the runs have 131; remedy: another page"
    assert status == 2 and said in capsys.readouterr().err


def test_rows_of_another_budget_are_not_mixed(runs, tmp_path, shown, capsys):
    _, _, page, _ = shown(*runs)
    short = tmp_path / "short"
    short.mkdir()
    (short / "train.log").write_text(json.dumps({"num_updates": "5", "kl": "7"}) + "\n")
    for flags in (("--updates", "5"), ()):
        status, _, now, _ = shown(f"+ KL annealing={short}", *flags)
        assert (status == 2) == bool(flags) and now == page  # unfinished rows mix nothing
    (short / "done").touch()
    (short / "latents.test.json").write_text(statistics())
    capsys.readouterr()
    status, _, now, _ = shown(f"+ KL annealing={short}")
    assert status == 2 and now == page
    assert (
        "+ best of 5, written before, has 20 updates, the runs have 5; remedy: another page" in capsys.readouterr().err
    )
    assert shown(*(f"{run.split('=')[0]}={short}" for run in runs))[0] == 0  # all anew


def test_rows_measured_otherwise_say_so(runs, tmp_path, shown):
    (tmp_path / "best5/latents.test.json").write_text(statistics("split:test|seed:2"))
    _, _, page, _ = shown(*runs)
    assert "`split:test|seed:1|iw-samples:500` (+ KL annealing); `split:test|seed:2` (+ best of 5)" in page


@pytest.mark.parametrize(("file", "said"), [("page.csv", "this is no such table"), ("kl.csv", "these are no curves")])
def test_a_file_that_is_no_table_is_left_alone(runs, tmp_path, shown, file, said, capsys):
    shown(*runs)
    (tmp_path / file).write_text("row,of,others\n1,2,3\n")
    assert shown(*runs)[0] == 2
    assert f"{file}: {said}" in capsys.readouterr().err
    assert (tmp_path / file).read_text() == "row,of,others\n1,2,3\n"


def test_the_papers_numbers_are_its_table():
    """Cho et al. (2022), Table 3: perplexity falls and KL rises from row to row but for the last perplexity."""
    perplexities, units, costs = zip(*PENN_TREEBANK.values(), strict=True)
    assert list(costs) == sorted(costs) and len(PENN_TREEBANK) == 9
    assert list(perplexities[:-1]) == sorted(perplexities[:-1], reverse=True)
    assert (perplexities[0], perplexities[-1], units, costs[-1]) == (
        58.391,
        46.883,
        (0, 3, 2, 6, 11, 13, 14, 14, 14),
        25.126,
    )


def test_formats_and_absent_folders(runs, tmp_path, capsys):
    assert main(["table", "sentences", *runs, "--format", "latex"]) == 0
    assert capsys.readouterr().out.startswith("\\begin{tabular}")
    assert main(["table", "sentences", f"a={tmp_path / 'none'}"]) == 2
    assert "no such folder; remedy: " in capsys.readouterr().err
