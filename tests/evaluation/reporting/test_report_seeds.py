"""Trainings with several seeds on a report's page: means, deviations, tests that respect both, and which seeds they are."""

import json
import shutil

import pytest

from fairseq_latent.cli import main
from fairseq_latent.evaluation.metrics import score
from tests.helpers import programs
from tests.helpers.report_runs import write_measured

from .test_report import Page

ANSWERS = {1: ["i see .", "why ?"], 2: ["yes , tea", "no tea"], 3: ["no , not tea", "is it late ?"]}
SMALL = ("--prior", "20", "--posterior", "10", "--cpu", "--bootstrap", "100")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data_bin):
    """A model with three seeds, and another one with one."""
    pytest.importorskip("openTSNE")
    home = tmp_path_factory.mktemp("runs")
    for seed, answers in ANSWERS.items():
        folder = home / f"plain-seed{seed}"
        programs.fit(data_bin, folder, "--seed", seed)
        worth = {"context_worth": seed / 2, "context_worth_low": seed / 2 - 0.1, "context_worth_high": seed / 2 + 0.1}
        write_measured(folder, answers, kl=float(seed), au=seed - 1, **worth)
    programs.fit(data_bin, home / "other", "--k", "5", criterion="speculative_elbo")
    write_measured(home / "other", ["i see .", "yes"])
    return home


@pytest.fixture
def runs(trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


APART = ("other=other", *(f"plain-seed{seed}=plain-seed{seed}" for seed in (3, 1, 2)))


def page(runs, data, *words):
    assert main(["report", *words, "--data", str(data), "--out", "page", *SMALL]) == 0
    text, markdown = ((runs / "page" / f"report.{kind}").read_text(encoding="utf-8") for kind in ("html", "md"))
    return Page(text).tables, markdown


def test_seeds_are_grouped_without_being_asked(runs, data_bin):
    tables, markdown = page(runs, data_bin, *APART)
    rows = {row[0]: dict(zip(tables["Results"][0], row, strict=True)) for row in tables["Results"]}
    assert list(rows)[1:] == ["Reference", "other", "plain"]
    files = ",".join(f"plain-seed{seed}/generate.test.txt" for seed in (1, 2, 3))
    systems = score.read_systems(["other=other/generate.test.txt", f"plain={files}"])
    expected = score.measure_systems(systems, resamples=100, seed=1)[-1]
    for name, decimals in (("dist-2", 2), ("BLEU", 2), ("length", 1)):
        found = expected.scores[name]
        low, high = found.interval
        star = "*" if expected.comparison.p_values.get(name, 1) < 0.05 else ""
        shown = f"{found.value:.{decimals}f}{star}±{(high - low) / 2:.{decimals}f} sd {found.extra['sd']:.{decimals}f}"
        assert rows["plain"][name] == shown
    assert rows["plain"]["KLD"] == "2.00sd 1.00"  # of 1, 2, 3
    # of .5, 1, 1.5: sd .5; half of the interval: root of .1^2 + (1.96 * .5)^2 / 3 = .5746
    assert rows["plain"]["context worth"] == "1.000±0.575 sd 0.500"
    assert rows["plain"]["AU"] == "1sd 1.0"
    assert "sd" not in rows["other"]["KLD"]
    assert (
        "plain was trained with 3 seeds, 1 (plain-seed1), 2 (plain-seed2), 3 (plain-seed3): its numbers are means"
        in markdown
    )
    assert "other: trained once (seed 1):" in markdown
    assert "sd: standard deviation over the seeds of a system" in markdown
    assert (
        "±: half of the 95 % bootstrap interval over test contexts (of several seeds: over contexts and seeds)"
        in markdown
    )
    assert [row[0] for row in tables["Budget of each training"]][1:] == [
        "other",
        "plain-seed1",
        "plain-seed2",
        "plain-seed3",
    ]
    differ = {
        row[0]: dict(zip(tables["Flags that differ"][0], row, strict=True)) for row in tables["Flags that differ"]
    }
    assert differ["plain"]["--seed"] == "1, 2, 3" and differ["plain"]["--k"] == "1"
    for seed in (1, 2, 3):
        assert f"plain-seed{seed}/checkpoint_best.pt > plain-seed{seed}/generate.test.txt" in markdown


def test_each_seed_by_itself(runs, data_bin):
    tables, markdown = page(runs, data_bin, *APART, "--seeds", "apart")
    assert [row[0] for row in tables["Results"]][2:] == [specification.partition("=")[0] for specification in APART]
    assert "differ in nothing but the seed" in markdown and "--seeds apart" in markdown and "sd " not in markdown


def test_seeds_that_are_named(runs, data_bin):
    """Also where there is no checkpoint left, and where they differ in more, which is said."""
    (runs / "plain-seed2/checkpoint_best.pt").unlink()
    tables, markdown = page(runs, data_bin, "A=plain-seed2,plain-seed1", "B=other,plain-seed3")
    assert [row[0] for row in tables["Results"]][2:] == ["A", "B"]
    assert "A was trained with 2 seeds, 1 (plain-seed1), unknown (plain-seed2)" in markdown
    assert "B was trained with 2 seeds, 1 (other), 3 (plain-seed3)" in markdown
    assert "They differ in --criterion, --k, too." in markdown
    assert "report A=plain-seed2,plain-seed1 B=other,plain-seed3 --out DIR" in markdown
    assert "**A (plain-seed2)**: plain-seed2/checkpoint" in markdown  # what is missing


def test_scores_that_were_computed_before(runs, data_bin, capsys):
    files = ",".join(f"plain-seed{seed}/generate.test.txt" for seed in (1, 2, 3))
    words = ["other=other/generate.test.txt", f"plain={files}", "--bootstrap", "100"]
    assert main(["score", *words, "--json-out", "scores.json"]) == 0
    before = page(runs, data_bin, *APART)[0]["Results"]
    assert page(runs, data_bin, *APART, "--scores", "scores.json")[0]["Results"] == before
    found = json.loads((runs / "scores.json").read_text())
    found["rows"] = [row for row in found["rows"] if row["name"] != "plain"]
    (runs / "scores.json").write_text(json.dumps(found))
    capsys.readouterr()
    page(runs, data_bin, *APART, "--scores", "scores.json")
    assert "--scores has no row plain" in capsys.readouterr().err


def test_what_evaluate_asks_for_is_what_the_report_groups(runs, capsys, monkeypatch):
    from fairseq_latent.evaluation.runs import trained_runs

    (runs / "later").mkdir()
    monkeypatch.setattr("sys.argv", ["trained_runs", *APART, "z=later"])
    trained_runs.main()
    out, err = capsys.readouterr()
    assert out.splitlines() == ["other\tother", *(f"plain\tplain-seed{seed}" for seed in (1, 2, 3))]
    assert "later: not trained yet, left out" in err
