"""The bash scripts: the quickstart from end to end, the recipes' hyper-parameters, resumption and refusals."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RECIPES = sorted((ROOT / "scripts/recipes").glob("*.sh"))
BIN = Path(sys.executable).parent
PATH = f"{BIN}{os.pathsep}{os.environ['PATH']}"
LOSSES = {  # what makes a row of the paper's tables
    "t_cvae": "--criterion elbo",
    "cyclical": "--criterion elbo --kl-schedule cyclical --kl-cycle epoch",
    "spacefusion": "--criterion spacefusion",
    "bow": "--criterion bow_elbo",
    "mc": "--criterion mc_elbo --k 5",
    **{f"speculative_k{k}": f"--criterion speculative_elbo --k {k}" for k in (2, 5, 10, 20, 40)},
}


def bash(*command, **variables) -> subprocess.CompletedProcess:
    """Run a script with this Python's environment."""
    environment = os.environ | {"PATH": PATH, "FAIRSEQ_LATENT_NO_VENV": "1"} | variables
    return subprocess.run(["bash", *map(str, command)], env=environment, capture_output=True, text=True)


@pytest.fixture
def recorded(tmp_path):
    """A fairseq-train that writes its arguments down, in place of the real one."""
    program = tmp_path / "bin" / "fairseq-train"
    program.parent.mkdir()
    program.write_text(f'#!/usr/bin/env bash\nprintf "%s\\n" "$@" >> {tmp_path}/arguments\n')
    program.chmod(0o755)

    def run(recipe, **variables):
        path = f"{program.parent}{os.pathsep}{PATH}"
        return bash(recipe, **{"PATH": path, "RUN": str(tmp_path / "run"), "DATA": "data-bin/x"} | variables)

    run.arguments = tmp_path / "arguments"
    return run


def test_there_is_a_recipe_for_each_row():
    assert {recipe.stem for recipe in RECIPES} == set(LOSSES)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_recipe_has_the_papers_hyper_parameters_and_fairseq_accepts_them(recipe, recorded):
    from fairseq import options

    assert recorded(recipe).returncode == 0
    arguments = recorded.arguments.read_text().splitlines()
    line = " ".join(arguments)
    for flags in (
        LOSSES[recipe.stem],
        "--label-smoothing 0.1",
        "--max-update 250000",
        "--warmup-updates 4000",
        "--lr 1e-3",
    ):
        assert flags in line
    for flags in ("--clip-norm 25", "--adam-betas (0.9, 0.98)", "--weight-decay 1e-4", "--seed 0"):
        assert flags in line
    assert 3360 * 8 == 26880  # tokens an update: --max-tokens x --update-freq
    assert "--max-tokens 3360 --update-freq 8" in line
    args = options.parse_args_and_arch(options.get_training_parser(), arguments)
    assert args.arch == ("t_spacefusion" if recipe.stem == "spacefusion" else "t_cvae")


def test_a_finished_run_is_not_repeated_and_other_flags_are_refused(recorded):
    recipe = ROOT / "scripts/recipes/t_cvae.sh"
    assert recorded(recipe).returncode == 0
    once = recorded.arguments.read_text()
    assert recorded(recipe).returncode == 0
    assert recorded.arguments.read_text() == once
    refused = recorded(recipe, LR="7")
    assert refused.returncode == 2
    assert "was trained with other flags" in refused.stderr


def test_a_run_is_trained_by_one_process_at_a_time(recorded, tmp_path):
    (tmp_path / "run").mkdir()
    with subprocess.Popen(["flock", tmp_path / "run/lock", "sleep", "60"], start_new_session=True) as holder:
        time.sleep(0.5)
        refused = recorded(ROOT / "scripts/recipes/t_cvae.sh")
        os.killpg(holder.pid, 9)
    assert refused.returncode == 2
    assert "is being trained by another process" in refused.stderr
    assert not recorded.arguments.exists()


def test_parallel_jobs_end_with_what_they_started(tmp_path):
    """One job fails: the other, and the program it runs, are ended; the same at SIGTERM."""
    naptime = f"97.{os.getpid()}"  # found again by its name
    job = f"""job() {{ [[ $1 != *bad ]] || {{ sleep 1; exit 2; }}; sleep {naptime}; }}
    count() {{ echo 0; }}; source {ROOT}/scripts/lib.sh; in_parallel label count job {tmp_path}/good {tmp_path}/bad"""
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
    failed = subprocess.run(["bash", "-euc", job], capture_output=True, text=True, timeout=30)
    assert failed.returncode == 2
    assert subprocess.run(["pgrep", "-f", f"^sleep {naptime}$"], capture_output=True).returncode == 1
    running = subprocess.Popen(["bash", "-euc", job.replace("/bad", "/good")], stderr=subprocess.DEVNULL)
    time.sleep(1)
    running.terminate()
    assert running.wait(timeout=10) == 143
    assert subprocess.run(["pgrep", "-f", f"^sleep {naptime}$"], capture_output=True).returncode == 1


def test_scripts_refuse_what_they_cannot_do(tmp_path):
    for command in (
        ("scripts/quickstart.sh", "--nonsense"),
        ("scripts/quickstart.sh", "--lang", "tlh"),
        ("scripts/setup.sh", "--nonsense"),
        ("scripts/prepare.sh", "none.jsonl", tmp_path / "bin"),
        ("scripts/evaluate.sh", "data", tmp_path / "report", "no-equals-sign"),
        ("scripts/evaluate.sh", "data", tmp_path / "report", f"a={tmp_path}"),
    ):
        result = bash(ROOT / command[0], *command[1:])
        assert result.returncode == 2, command
        assert result.stderr.startswith("error: "), result.stderr
    assert list(tmp_path.iterdir()) == []


def test_quickstart_smoke_goes_on_where_it_was_killed(tmp_path):
    if not (Path(sys.prefix) / "fairseq_latent.stamp").is_file():
        pytest.skip("this environment was not made by scripts/setup.sh, which the quickstart would run on it")
    command = ["bash", str(ROOT / "scripts/quickstart.sh"), "--smoke", "--out", str(tmp_path)]
    venv = Path(sys.prefix) == ROOT / ".venv"
    command += [] if venv else ["--no-venv"]
    environment = os.environ | {"PATH": PATH}
    first = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    runs = tmp_path / "runs/quickstart-smoke"
    deadline = time.monotonic() + 240
    while not (runs / "t_cvae/train.log").is_file() and time.monotonic() < deadline and first.poll() is None:
        time.sleep(0.2)
    subprocess.run(["pkill", "-KILL", "-s", str(first.pid)], check=True)  # its session: all that it started
    first.wait()
    prepared = (tmp_path / "data-bin/quickstart-smoke/dict.src.txt").stat().st_mtime_ns
    second = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert second.returncode == 0, second.stderr[-4000:]
    assert (tmp_path / "data-bin/quickstart-smoke/dict.src.txt").stat().st_mtime_ns == prepared
    page = (runs / "report/report.html").read_text(encoding="utf-8")
    assert "T-CVAE" in page and "Speculative K=5" in page and "data:image" in page
    assert (runs / "report/report.md").is_file()
    assert not list(tmp_path.rglob("*.part"))
