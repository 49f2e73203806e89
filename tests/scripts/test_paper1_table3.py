"""scripts/tables/paper1_table3.sh: rows that differ in their losses alone, and going on where it was."""

import re
import subprocess
from pathlib import Path

import pytest

from fairseq_latent.evaluation.reporting.published_results import PENN_TREEBANK

from .stand_ins import path_with, run_table, the_real, trains

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/tables/paper1_table3.sh"
LOSSES = {  # what makes a row, of 800 updates
    "standard": "--criterion elbo",
    "kla": "--criterion elbo --kl-schedule linear --kl-warmup 5000",
    "ca": "--criterion elbo --kl-schedule cyclical --kl-cycle 201",
    "at": "--criterion elbo --aggressive --aggressive-updates 1000",
    "bow": "--criterion bow_elbo --bow-target tokens --bow-hidden-dim 400",
    "podi_0.15": "--criterion podi_elbo --podi-form per_dim --podi-target 0.15",
    "podi_literal_0.15": "--criterion podi_elbo --podi-form literal --podi-target 0.15",
    "podi_auto_0.15": "--criterion podi_elbo --podi-form auto --podi-target 0.15",
    "best5": "--criterion speculative_elbo --k 5",
    "best5_podi_0.15": "--criterion speculative_elbo --k 5 --podi-weight 1 --podi-target 0.15",
}


def table(tmp_path, *arguments, **variables) -> subprocess.CompletedProcess:
    own = {"RUNS": str(tmp_path / "runs"), "PAGE": str(tmp_path / "docs/page.md")}
    return run_table(SCRIPT, *arguments, **own | variables)


@pytest.fixture(scope="module")
def dry(tmp_path_factory):
    """Row -> the command that would train it."""
    folder = tmp_path_factory.mktemp("dry")
    (folder / "data").mkdir()
    (folder / "data/dict.txt").touch()
    rows = {"ROWS": " ".join(LOSSES), "DATA": str(folder / "data"), "DRY_RUN": "1", "JOBS": "1", "MAX_UPDATE": "800"}
    done = table(folder, **rows)
    assert done.returncode == 0, done.stderr
    return {re.search(r"--save-dir \S+/(\S+)", line)[1]: line.split("&&", 1)[1] for line in done.stdout.splitlines()}


def test_rows_differ_in_their_losses_alone(dry):
    assert set(dry) == set(LOSSES)
    rest = set()
    for row, line in dry.items():
        assert f" {LOSSES[row]} " in line, line
        line = line.replace(LOSSES[row], "").replace("--save-interval-updates 50 --keep-interval-updates 1", "")
        rest.add(re.sub(r"--(save-dir|log-file) \S+", "", re.sub(" +", " ", line)))
    assert len(rest) == 1
    for flags in (
        "--task text_vae",
        "--arch gru_vae_small",
        "--lr 1e-3",
        "--clip-norm 5",
        "--batch-size 64",
        "--max-update 800",
    ):
        assert flags in next(iter(rest))


def test_fairseq_takes_every_rows_flags(dry):
    """Real parser, real dataclasses: a wrong value or name would end here."""
    import shlex

    from fairseq import options

    for line in dry.values():
        words = shlex.split(line)
        args = options.parse_args_and_arch(options.get_training_parser(), words[words.index("fairseq-train") + 1 :])
        assert args.arch == "gru_vae_small"


def test_the_papers_rows_have_its_names():
    """Every row of the paper's table is a default row here; the headings are the keys of its numbers."""
    text = SCRIPT.read_text(encoding="utf-8")
    rows = re.search(r"^all=\(([^)]*)\)", text, re.MULTILINE)[1].split()
    function = re.search(r"^heading\(\) \{.*?^\}", text, re.MULTILINE | re.DOTALL)[0]
    said = subprocess.run(
        ["bash", "-c", f"{function}\nfor row in {' '.join(rows)}; do heading $row; done"],
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert len(said) == len(rows) == len(set(said)) and set(PENN_TREEBANK) <= set(said)


@pytest.fixture
def programs_of_ours(tmp_path):
    """Run the script with programs that leave what the real ones do; gives (result, what they were asked)."""
    asked = tmp_path / "asked"
    log = '{"num_updates": "4", "kl": "0.5", "kl_weight": "1", "wall": "36"}'
    numbers = '"kl": 2.5, "au": 3, "mi": 1.25, "rec_ppl": 90.0, "elbo_ppl": 101.5, "sentences": 21, "tokens": 130'
    latents = f"""[[ $1 == latents ]] || {the_real()}; echo "$*" >>{asked}
        iw=; [[ $* != *--importance-samples* ]] || iw=', "iw_ppl": 99.5'
        echo '{{{numbers}, "signature": "seed:1"'"$iw}}" """
    (tmp_path / "data").mkdir()
    (tmp_path / "data/dict.txt").touch()
    path = path_with(tmp_path, train=trains(asked, log, "last"), latent=latents)

    def run(**variables):
        asked.unlink(missing_ok=True)
        done = table(tmp_path, **{"DATA": str(tmp_path / "data"), "PATH": path, "MAX_UPDATE": "4"} | variables)
        lines = asked.read_text().splitlines() if asked.exists() else []
        return done, [re.search(r"/runs/(\w+)", line)[1] + " " + line.split()[0] for line in lines]

    return run


def test_rows_are_trained_measured_and_shown_and_not_again(programs_of_ours, tmp_path):
    done, asked = programs_of_ours(ROWS="standard at", JOBS="1")
    assert done.returncode == 0, done.stderr
    of_row = ["train", "latents", "latents"]  # test and validation; what takes long comes when all are trained
    assert asked == [f"{row} {what}" for row in ("standard", "at") for what in of_row] + [
        "standard latents",
        "at latents",
    ]
    page = (tmp_path / "docs/page.md").read_text(encoding="utf-8")
    assert "All rows are finished." in page and "| Standard " in page and "99.50" in page and "4 updates each" in page
    assert "](pictures/page_kl.png)" in page and (tmp_path / "docs/pictures/page_kl.png").stat().st_size > 10_000
    assert len((tmp_path / "docs/page.csv").read_text().splitlines()) == 3
    (tmp_path / "docs/page.md").unlink()
    assert programs_of_ours(ROWS="standard at", IMPORTANCE_SAMPLES="0")[1] == []
    assert (tmp_path / "docs/page.md").read_text(encoding="utf-8") == page
    refused, asked = programs_of_ours(ROWS="standard", LR="1e-2")
    assert refused.returncode == 2 and "other flags or data" in refused.stderr and asked == []
    assert (tmp_path / "docs/page.md").read_text(encoding="utf-8") == page  # of all rows, whichever was named


def test_rows_of_other_runs_stay_on_the_page(programs_of_ours, tmp_path):
    programs_of_ours(ROWS="standard at", IMPORTANCE_SAMPLES="0")
    page = (tmp_path / "docs/page.md").read_text(encoding="utf-8")
    refused, asked = programs_of_ours(ROWS="bow", RUNS=str(tmp_path / "short/runs"), MAX_UPDATE="3")
    assert refused.returncode == 2 and asked == []  # before anything is trained
    assert "has 4 updates, the runs have 3; remedy: another page" in refused.stderr
    assert (tmp_path / "docs/page.md").read_text(encoding="utf-8") == page
    done, _ = programs_of_ours(ROWS="bow", RUNS=str(tmp_path / "more/runs"), IMPORTANCE_SAMPLES="0")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "docs/page.md").read_text(encoding="utf-8")
    assert [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")] == [
        "row",
        "Standard",
        "+ aggressive training",
        "+ bag of words",
    ]


def test_a_row_that_fails_leaves_the_others(programs_of_ours, tmp_path):
    done, asked = programs_of_ours(ROWS="kla bow", JOBS="1", FAIL="/kla", IMPORTANCE_SAMPLES="0")
    assert done.returncode == 2 and "some rows failed" in done.stderr and "bow latents" in asked
    page = (tmp_path / "docs/page.md").read_text(encoding="utf-8")
    assert "Not finished yet: + KL annealing (not begun)." in page and "| + bag of words " in page
    assert programs_of_ours(ROWS="kla bow", SHOW="1", MAX_UPDATE="9")[1] == []
    done, asked = programs_of_ours(ROWS="kla bow", IMPORTANCE_SAMPLES="0")
    assert done.returncode == 0 and asked == ["kla train", "kla latents", "kla latents"]


def test_help_and_options_train_nothing(tmp_path):
    said = table(tmp_path, "--help")
    assert said.returncode == 0 and said.stdout.startswith("Table 3 and Figure 7") and "Variables: " in said.stdout
    for words, message in ((("--rows", "standard"), "--rows is no option"), (("a", "b"), "2 arguments, at most 1")):
        refused = table(tmp_path, *words)
        assert refused.returncode == 2 and message in refused.stderr and "--help" in refused.stderr
    assert not (tmp_path / "runs").exists()


def test_a_warm_up_longer_than_the_training_is_told_of(programs_of_ours):
    assert "kla: its weight would be 1 after 5000 updates" in programs_of_ours(ROWS="kla", SHOW="1")[0].stderr
    assert "its weight" not in programs_of_ours(ROWS="kla", SHOW="1", KL_WARMUP="2")[0].stderr
    assert "its weight" not in programs_of_ours(ROWS="bow", SHOW="1")[0].stderr


def test_what_it_cannot_do_is_one_line(tmp_path):
    for variables, said in (({"ROWS": "nonsense"}, "is no row"), ({"DATA": str(tmp_path / "none")}, "is not prepared")):
        refused = table(tmp_path, **variables)
        (line,) = [line for line in refused.stderr.splitlines() if line.startswith("error: ")]
        assert refused.returncode == 2 and said in line and "remedy: " in line
