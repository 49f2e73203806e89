"""scripts/cluster/check_gpu.sh: its small form on the CPU, and its GPU form on a pretended one."""

import runpy
import subprocess
import sys

import pytest
import torch

from ..helpers import programs
from ..scripts.test_recipes_and_evaluate import ROOT
from .pretended_gpu import pretended_gpu

SCRIPT = ROOT / "scripts/cluster/check_gpu.sh"


def table_of(printed: str) -> dict[str, list[str]]:
    """First column -> the others."""
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in printed.splitlines() if line[:1] == "|"]
    return {first: rest for first, *rest in rows[2:]}


def test_a_small_form_on_the_cpu(data_bin):
    """Everything holds, and the lines that it gives are those of the page, filled in."""
    pytest.importorskip("transformers")
    words = ["bash", str(SCRIPT), "--cpu", "--only", "precisions", "compiled", str(data_bin)]
    environment = programs.quiet(FAIRSEQ_LATENT_NO_VENV="1")
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    table, _, lines = done.stdout.partition("Lines for docs/cluster.md:")
    found = table_of(table)
    assert {"float32", "bf16", "autocast", "torch.compile of the scorer"} == found.keys()
    assert all(holds == "yes" for holds, _ in found.values())
    page = (ROOT / "docs/cluster.md").read_text("utf-8")
    given = [line for line in lines.splitlines() if line]
    assert len(given) == 2
    for line in given:
        assert line.split(" | ")[0] in page and "CPU: " in line and "not run" not in line.split("CPU: ")[-1]


def test_all_of_it_on_a_pretended_gpu(data_bin, monkeypatch, capsys):
    """Every precision trains there, texts are the CPU's; what does not hold makes it exit with 1."""
    pytest.importorskip("transformers")
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.syspath_prepend(ROOT / "benchmarks/gpu")
    module = runpy.run_path(str(ROOT / "benchmarks/gpu/check_gpu.py"), run_name="check_gpu")
    main = module["main"]
    main.__globals__["ON_GPU"] = module["ON_CPU"]
    checks = ("precisions", "decoding", "persona")
    monkeypatch.setattr(sys, "argv", ["check_gpu.py", str(data_bin), "--only", *checks])
    with pretended_gpu() as gpu:
        code = main()
    printed = capsys.readouterr().out
    found = table_of(printed.partition("Lines for")[0])
    assert {"float32", "bf16", "fp16", "amp", "autocast", "decoding"} <= found.keys()
    assert all(holds == "yes" for holds, _ in found.values()) and code == 0, printed
    assert gpu.mixed == [] and "pretended: " in printed.partition("Lines for")[2]

    def failing(runs):
        raise RuntimeError("a kernel is missing\nand more")

    failing.__name__ = "persona"
    main.__globals__["CHECKS"] = (failing,)
    monkeypatch.setattr(sys, "argv", ["check_gpu.py", str(data_bin)])
    with pretended_gpu():
        assert main() == 1
    assert table_of(capsys.readouterr().out)["persona"] == ["NO", "RuntimeError: a kernel is missing"]


def test_what_it_wants(tmp_path):
    environment = programs.quiet(FAIRSEQ_LATENT_NO_VENV="1")
    done = subprocess.run(["bash", str(SCRIPT), str(tmp_path)], capture_output=True, text=True, env=environment)
    assert done.returncode == 2 and done.stderr.startswith(f"error: {tmp_path}: no binarised data; remedy: ")
    if not torch.cuda.is_available():
        (tmp_path / "dict.src.txt").write_text("")
        done = subprocess.run(["bash", str(SCRIPT), str(tmp_path)], capture_output=True, text=True, env=environment)
        assert done.returncode == 2 and "torch sees no GPU here; remedy: --cpu" in done.stderr
