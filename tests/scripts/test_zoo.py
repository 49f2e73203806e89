"""scripts/tables/zoo.sh: rows that differ in a remedy alone, none trained twice, whatever is left of the first training."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from .stand_ins import path_with, run_table, the_real, trains

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/tables/zoo.sh"
STATISTICS = (
    '{"kl": 2.5, "au": 3, "mi": 1.25, "rec_ppl": 90.0, "elbo_ppl": 101.5, "iw_ppl": 99.5, "sentences": 21, '
    '"tokens": 130, "latent_worth": 0.5, "signature": "split:test|seed:1"}'
)


def zoo(tmp_path, *arguments, **variables) -> subprocess.CompletedProcess:
    own = {"RUNS": f"{tmp_path}/runs", "PAGE": f"{tmp_path}/docs/page.md", "DATA": f"{tmp_path}/data"}
    return run_table(SCRIPT, *arguments, **own | variables)


def commands(tmp_path, data: str) -> dict[str, str]:
    """Row -> the command that would train it."""
    done = zoo(tmp_path, data, DRY_RUN="1", MAX_UPDATE="800")
    assert done.returncode == 0, done.stderr
    return {re.search(r"--save-dir \S+/(\S+)", line)[1]: line.split("&&", 1)[1] for line in done.stdout.splitlines()}


@pytest.mark.parametrize("data, arch", [("ptb", "gru_vae_small"), ("chitchat", "t_cvae_small")])
def test_every_rows_flags_are_ones_that_fairseq_takes(tmp_path, data, arch):
    """Real parser, real dataclasses; each remedy at three strengths, and the standard at one."""
    from fairseq import options

    rows, own = commands(tmp_path, data), {}
    for row, line in rows.items():
        words = shlex.split(line)
        args = options.parse_args_and_arch(options.get_training_parser(), words[words.index("fairseq-train") + 1 :])
        assert args.arch == arch and args.max_update == 800
        own[row] = {name: value for name, value in vars(args).items() if name not in ("save_dir", "log_file")}
    changed = {row: {name for name in flags if flags[name] != own["standard"].get(name)} for row, flags in own.items()}
    assert changed.pop("standard") == set() and all(changed.values())
    strengths = {}
    for row in changed:
        strengths.setdefault(row.rpartition("_")[0], []).append(row)
    assert {name: len(each) for name, each in strengths.items() if len(each) != 3} == (
        {"pool": 2} if data == "ptb" else {}
    )
    assert changed["norm_0.5"] == changed["norm_0.7"] == {"posterior_norm", "posterior_norm_scale"}
    assert changed["mmd_10"] == {"kl_weight", "mmd_weight"} and changed["importance_5"] == {"k", "sample_reduction"}
    pretrained = {"pretrain_autoencoder", "free_bits", "free_bits_over", "kl_schedule", "kl_warmup"}
    assert changed["pretrain_2"] == pretrained


@pytest.fixture
def programs_of_ours(tmp_path):
    """Run the script with programs that leave what the real ones do; gives (result, what they were asked)."""
    asked = tmp_path / "asked"
    log = '{"num_updates": "4", "kl": "0.5"}'
    generate = r"printf 'S-0\ta b\nT-0\ta b c d e\nH-0\t-1\ta b c d e\nD-0\t-1\ta b c d e\nP-0\t-1\n'"
    latents = f"""[[ $1 == latents ]] || {the_real()}; echo '{STATISTICS}'"""
    path = path_with(tmp_path, train=trains(asked, log, "last"), generate=generate, latent=latents)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/dict.txt").touch()

    def run(**variables):
        asked.unlink(missing_ok=True)
        done = zoo(tmp_path, "ptb", **{"PATH": path, "MAX_UPDATE": "4"} | variables)
        lines = asked.read_text().splitlines() if asked.exists() else []
        return done, [re.search(r"/runs/(\S+)", line)[1] for line in lines]

    return run


def test_each_row_is_on_the_page_as_soon_as_it_is_measured_and_not_trained_again(programs_of_ours, tmp_path):
    done, asked = programs_of_ours(ROWS="standard norm_0.5 norm_0.7")
    assert done.returncode == 0, done.stderr
    assert asked == ["standard", "norm_0.5", "norm_0.7"]
    page = (tmp_path / "docs/page.md").read_text(encoding="utf-8")
    assert "| batch norm: γ = 0.5 " in page and "99.50" in page and "100.00" in page  # BLEU of what was copied
    assert "](pictures/page_ptb.png)" in page and (tmp_path / "docs/pictures/page_ptb.png").stat().st_size > 10_000
    numbers = (tmp_path / "docs/page_ptb.csv").read_text(encoding="utf-8").splitlines()
    assert len(numbers) == 4 and numbers[1].startswith("standard: weight 1,4,2.5000,")
    for folder in ("standard", "norm_0.5", "norm_0.7"):  # another machine, another day
        (tmp_path / "runs" / folder).rename(tmp_path / "runs" / f"gone_{folder}")
    done, asked = programs_of_ours(ROWS="standard norm_0.5 best_5")
    assert done.returncode == 0 and asked == ["best_5"], done.stderr
    page = (tmp_path / "docs/page.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")]
    assert rows == ["remedy", "standard: weight 1", "batch norm: γ = 0.5", "batch norm: γ = 0.7", "best of K: K = 5"]
    (tmp_path / "docs/page.md").unlink()
    assert programs_of_ours(SHOW="1")[1] == []
    assert "best of K: K = 5" in (tmp_path / "docs/page.md").read_text(encoding="utf-8")


def test_what_it_cannot_do_is_one_line(tmp_path):
    for arguments, variables, said in (
        ((), {}, "without a data set; remedy: bash scripts/tables/zoo.sh ptb, or chitchat"),
        (("imagenet",), {}, "zoo.sh imagenet; remedy"),
        (("ptb",), {"ROWS": "nonsense"}, "is no row; remedy: standard"),
        (("ptb",), {}, "is not prepared; remedy"),
    ):
        refused = zoo(tmp_path, *arguments, **variables)
        (line,) = [line for line in refused.stderr.splitlines() if line.startswith("error: ")]
        assert refused.returncode == 2 and said in line, refused.stderr
