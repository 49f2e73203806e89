"""The wheel: what is in it, and a training, an export and a reply in an environment that has it and no checkout."""

import importlib.util
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import fairseq_latent

from ..helpers import programs

ROOT = Path(__file__).parents[2]
VERSION = fairseq_latent.__version__
PARTS = ("fairseq_latent", "preprocess", "scripts", "setup.py", "README.md", "pyproject.toml")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of what is committed, by the setuptools that is installed."""
    if not all(importlib.util.find_spec(name) for name in ("pip", "setuptools")):
        pytest.skip("pip and setuptools are not installed")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(ROOT / part, source / part)
    pip = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-q")
    done = programs.command(*pip, "-w", out, source)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A virtual environment with the wheel, which sees the packages of this one but no checkout: run(words) in it."""
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv/bin/python"
    (own,) = (folder / "venv/lib").glob("python3*/site-packages")
    (own / "shared.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n")  # paths in it are not followed further
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "-q")
    done = programs.command(*pip, wheel)
    assert done.returncode == 0, done.stderr
    for name in ("train", "generate"):
        program = folder / f"venv/bin/fairseq-{name}"
        program.write_text(f'#!/usr/bin/env bash\nexec "{python}" -m fairseq_cli.{name} "$@"\n')
        program.chmod(0o755)

    def run(*words, stdin="", **variables) -> str:
        environment = programs.quiet(**variables) | {
            "PATH": f"{folder}/venv/bin:/usr/bin:/bin",
            "FAIRSEQ_LATENT_NO_VENV": "1",
        }
        environment.pop("PYTHONPATH", None)
        done = subprocess.run(
            [*map(str, words)], input=stdin, capture_output=True, text=True, cwd=folder, env=environment
        )
        assert done.returncode == 0, f"{words}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    run.folder = folder
    return run


def test_the_wheel_has_code_data_and_scripts_and_no_tests(wheel):
    assert wheel.name == f"fairseq_latent-{VERSION}-py3-none-any.whl"
    names = zipfile.ZipFile(wheel).namelist()
    recipes = {f"fairseq_latent/scripts/recipes/{path.name}" for path in (ROOT / "scripts/recipes").glob("*.sh")}
    assert recipes | {"fairseq_latent/scripts/lib.sh", "fairseq_latent/portable/model.py"} <= set(names)
    assert {"preprocess/clean.py", "fairseq_latent/evaluation/reporting/report.html.j2"} <= set(names)
    assert {name.partition("/")[0] for name in names} == {
        "fairseq_latent",
        "preprocess",
        f"fairseq_latent-{VERSION}.dist-info",
    }
    metadata = zipfile.ZipFile(wheel).read(f"fairseq_latent-{VERSION}.dist-info/METADATA").decode()
    assert f"\nName: fairseq-latent\nVersion: {VERSION}\n" in metadata and re.fullmatch(r"\d+\.\d+\.\d+", VERSION)


@pytest.mark.slow
def test_it_trains_exports_and_replies_where_no_checkout_is(installed, data_bin):
    assert installed("fairseq-latent", "--version") == f"fairseq_latent {VERSION}\n"
    where = installed(
        "python", "-c", "import fairseq_latent, preprocess; print(fairseq_latent.__file__, preprocess.__file__)"
    )
    assert where.count(str(installed.folder / "venv")) == 2
    listed = installed("fairseq-latent", "recipes", "list").splitlines()
    assert {line.split()[0] for line in listed} == {
        path.stem for path in (ROOT / "scripts/recipes").glob("*.sh") if not path.name.startswith("base_")
    }
    shown = installed("fairseq-latent", "recipes", "show", "speculative_k5")
    assert "--criterion speculative_elbo --k 5" in shown and "train_row()" in shown
    installed("fairseq-latent", "recipes", "copy", "work")
    sizes = {"ARCH": "t_cvae_tiny", "MAX_UPDATE": "3", "UPDATE_FREQ": "1", "WARMUP": "2", "MAX_TOKENS": "500"}
    recipe = ("bash", "work/scripts/recipes/speculative_k5.sh")
    installed(*recipe, DATA=str(data_bin), RUN="work/run", FAIRSEQ_LATENT_DEVICE="cpu", **sizes)
    installed("fairseq-latent", "export", "work/run", "work/model")
    program = ("python", "-m", "fairseq_latent.portable", "work/model", "--cpu", "--replies", "2")
    replies = installed(*program, stdin="do you like tea\nhello there\n").splitlines()
    assert len(replies) == 2 and all(line.count("\t") == 1 for line in replies)


def test_the_image_is_built_of_what_is_there():
    text = (ROOT / "docs/Dockerfile").read_text("utf-8")
    copied = {word for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE) for word in line.split()[:-1]}
    assert copied == set(PARTS)
    docker = shutil.which("docker")
    base = re.search(r"^FROM (\S+)$", text, re.MULTILINE)[1]
    if docker is None or subprocess.run([docker, "image", "inspect", base], capture_output=True).returncode:
        pytest.skip(f"no docker, or no {base}")
    build = [docker, "build", "-f", ROOT / "docs/Dockerfile", "-t", "fairseq_latent_test", ROOT]
    subprocess.run(build, check=True)
    subprocess.run([docker, "run", "--rm", "fairseq_latent_test", "--smoke"], check=True)


@pytest.mark.parametrize(("words", "said"), [
    (("show", "speculative_k3"), "no recipe 'speculative_k3'"),
    (("copy", "{tmp}"), "is there already"),
])  # fmt: skip
def test_recipes_refuse_in_one_line(tmp_path, words, said):
    (tmp_path / "scripts").mkdir()
    done = programs.tool("recipes", *(word.format(tmp=tmp_path) for word in words))
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and said in line and "remedy" in line
