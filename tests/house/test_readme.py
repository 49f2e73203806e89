"""The README's commands, run as they are printed, but for sizes and budgets."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fairseq_latent

from ..helpers import quickstart, warm

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCRIPTS_OF_THEIR_OWN = {"bash scripts/quickstart.sh", "bash scripts/test.sh"}  # the first: test_quickstart.py
SMALLER = {"t_cvae_small": "t_cvae_tiny", "--max-update 2000": "--max-update 4", "--beam 5": "--beam 2 --max-len-b 5"}
BUDGET = {"ARCH": "t_cvae_tiny", "MAX_UPDATE": "4", "UPDATE_FREQ": "1", "WARMUP": "2", "BEAM": "2", "MAX_LENGTH": "5"}
BUDGET |= {"LATENT_SAMPLES": "2"} | quickstart.PREPARED


def bash_blocks(text: str) -> list[str]:
    """The fenced bash blocks, in order."""
    return re.findall(r"^```bash\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory, smoke):
    """A folder that looks like the repository, with a user's conversations in it, as the quickstart prepared them."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("scripts", "fairseq_latent", "preprocess"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(smoke / "runs" / quickstart.NAME / "few.jsonl", folder / "my.jsonl")
    for ending in ("", ".text"):
        shutil.copytree(smoke / f"data-bin/{quickstart.NAME}{ending}", folder / f"data-bin/my{ending}")
    return folder


def bash(command: str, folder: Path) -> subprocess.CompletedProcess:
    """Run one block where every command that fails ends it."""
    environment = os.environ | BUDGET | {"PATH": warm.use()}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.mark.slow
def test_every_command_of_the_readme_works(checkout):
    blocks = [block for block in bash_blocks(README) if block.strip() not in SCRIPTS_OF_THEIR_OWN]
    own_data = next(block for block in blocks if "prepare.sh" in block)  # makes the data the others read
    blocks.remove(own_data)
    for block in [own_data, *blocks]:
        for full, small in SMALLER.items():
            block = block.replace(full, small)
        result = bash(block, checkout)
        assert result.returncode == 0, f"{block}\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}"
    report = checkout / "runs/my/report/report.html"
    assert "K5" in report.read_text(encoding="utf-8")
    assert (checkout / "runs/my/first/checkpoint_best.pt").is_file()


def test_readme_names_both_commands_and_every_recipe():
    assert {block.strip() for block in bash_blocks(README)} >= SCRIPTS_OF_THEIR_OWN
    for recipe in set((ROOT / "scripts/recipes").glob("*.sh")) - set((ROOT / "scripts/recipes").glob("base_*.sh")):
        assert f"recipes/{recipe.name}" in README, recipe.name


def test_links_to_files_exist():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))):
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.fixture
def copy(tmp_path):
    """A copy of both packages to follow a tutorial on: (folder, edit(file, before, after), run(command))."""
    for name in ("fairseq_latent", "preprocess"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))

    def edit(name: str, before: str, after: str) -> None:
        file = tmp_path / name
        assert before in file.read_text("utf-8"), f"{name} has no {before}"
        file.write_text(file.read_text("utf-8").replace(before, after, 1), "utf-8")

    def run(command: str) -> str:
        path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        done = bash(f"export PYTHONPATH={path}\n{command}", tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout + done.stderr

    return tmp_path, edit, run


def python_blocks(page: str) -> list[str]:
    return re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs" / page).read_text("utf-8"), flags=re.MULTILINE | re.DOTALL
    )


def test_documented_model_works_as_documented(copy, data_bin):
    """docs/add_a_model.md, followed to the letter."""
    folder, edit, run = copy
    (model,) = python_blocks("add_a_model.md")
    (folder / "fairseq_latent/models/vhred_linear.py").write_text(model, "utf-8")
    edit("fairseq_latent/models/__init__.py", "vhred,\n", "vhred,\n    vhred_linear,\n")
    (commands,) = bash_blocks((ROOT / "docs/add_a_model.md").read_text("utf-8"))
    commands = commands.replace("data-bin/my", str(data_bin)).replace("--max-update 1000", "--max-update 2")
    printed = run(commands.replace("--beam 5", "--beam 2 --max-len-b 4"))
    assert "rec PPL" in printed and "linear" in printed


def test_documented_corpus_works_as_documented(copy):
    """docs/add_a_corpus.md, followed to the letter."""
    folder, edit, run = copy
    reader, row = python_blocks("add_a_corpus.md")
    (folder / "preprocess/corpora/columns.py").write_text(reader, "utf-8")
    edit("preprocess/corpora/__main__.py", "CORPORA = {\n", "CORPORA = {\n" + row)
    (commands,) = bash_blocks((ROOT / "docs/add_a_corpus.md").read_text("utf-8"))
    assert "1 conversations, 2 turns read, 1 kept -> my.jsonl" in run(commands)


def test_documented_metric_works_as_documented(copy):
    """docs/add_a_metric.md, followed to the letter."""
    folder, edit, run = copy
    metric, entry, measured, test = python_blocks("add_a_metric.md")
    edit(
        "fairseq_latent/evaluation/metrics/response_metrics.py",
        "def measure(metric,",
        f"{metric}\n\ndef measure(metric,",
    )
    edit("fairseq_latent/evaluation/metrics/registry.py", "SCORES = {", "SCORES = {\n" + entry + "    #")
    score = "fairseq_latent/evaluation/metrics/score.py"
    edit(score, "Length, Score", "Length, Questions, Score")
    edit(score, "    return found + distinct(", f"{measured}    return found + distinct(")
    (folder / "test_it.py").write_text(
        f"from fairseq_latent.evaluation.metrics.response_metrics import Questions\n{test}\ntest_questions_are_counted()\n"
    )
    run("python test_it.py")
    (folder / "ours.txt").write_text("why ?\ni see .\n")
    shown = run("python -m fairseq_latent.cli score ours=ours.txt --bootstrap 0 --lang none")
    assert "questions" in shown and "50.0" in shown


def test_documented_loss_works_as_documented(tmp_path, data_bin):
    """docs/add_a_loss.md, followed to the letter on a copy of the plugin."""
    page = (ROOT / "docs/add_a_loss.md").read_text(encoding="utf-8")
    function, criterion, test = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    plugin = tmp_path / "fairseq_latent"
    shutil.copytree(ROOT / "fairseq_latent", plugin, ignore=shutil.ignore_patterns("__pycache__"))
    with (plugin / "losses.py").open("a", encoding="utf-8") as file:
        file.write("\n\n" + function)
    (plugin / "criterions/margin_elbo.py").write_text(criterion, encoding="utf-8")
    registration = plugin / "criterions/__init__.py"
    registration.write_text(registration.read_text().replace("bow_elbo,", "bow_elbo,\n    margin_elbo,"))
    command = re.search(r"^fairseq-train .*?--cpu$", page, flags=re.MULTILINE | re.DOTALL).group()
    command = command.replace("data-bin/my", str(data_bin)).replace("t_cvae_small", "t_cvae_tiny")
    command = command.replace("--max-update 1000", "--max-update 2 --log-format json")
    command = command.replace("--user-dir fairseq_latent", f"--user-dir {plugin}")
    result = bash(command, tmp_path)
    assert result.returncode == 0, result.stderr[-4000:]
    assert '"valid_margin"' in result.stdout + result.stderr
    program = f"import torch\nfrom fairseq_latent import losses\n{test}\ntest_kl_margin_costs_what_is_missing()"
    checked = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_the_version_stands_in_one_place():
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text("utf-8"), flags=re.MULTILINE)[1]
    assert cited == fairseq_latent.__version__
    assert f"## {cited}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
