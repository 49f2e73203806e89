"""docs/site: the reference of flags has every flag, and the pages are built where mkdocs is installed."""

import importlib.util
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
from fairseq.models import MODEL_DATACLASS_REGISTRY
from fairseq.tasks import TASK_DATACLASS_REGISTRY

from fairseq_latent.ranges import SIZE

from ..helpers.programs import quiet

SITE = Path(__file__).parents[2] / "docs/site"


@pytest.fixture(scope="module")
def reference():
    """docs/site/reference.py, as mkdocs imports it."""
    spec = importlib.util.spec_from_file_location("reference", SITE / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_flag_is_in_the_reference(reference):
    parts = dict(part.split("\n", 1) for part in reference.flags().split("\n## ")[1:])
    registries = (TASK_DATACLASS_REGISTRY, MODEL_DATACLASS_REGISTRY, CRITERION_DATACLASS_REGISTRY)
    for flag, registry in zip(("--task", "--arch", "--criterion"), registries, strict=True):
        for name, kind in registry.items():
            if kind.__module__.startswith("fairseq_latent."):
                for each in fields(kind):
                    own = each.metadata.get("help") and not str(each.default).startswith("${")
                    assert not own or f"`--{each.name.replace('_', '-')}`" in parts[f"{flag} {name}"], (name, each.name)


def test_a_row_by_hand(reference):
    text = reference.flags()
    assert (
        "| `--fusion-activation` | `leaky_relu` | `leaky_relu` · `relu` · `gelu` · `tanh` | activation after [" in text
    )
    assert f"| `--embed-dim` | `512` | {SIZE} | width of embeddings and layers (H) |" in text
    assert "| `--encoder-embed-path` |  |  | word vectors" in text
    assert reference.escaped("a | <b>") == "a \\| &lt;b>"


@pytest.mark.slow
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("mkdocs", "material", "mkdocstrings")),
    reason="the extra [docs] is not installed",
)
def test_the_pages_are_built(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "--config-file", SITE / "mkdocs.yml"]
    done = subprocess.run([*command, "--site-dir", tmp_path], capture_output=True, text=True, env=quiet())
    assert done.returncode == 0, done.stderr[-3000:]
    assert "PortableModel" in (tmp_path / "reference/interfaces/index.html").read_text("utf-8")
    assert "speculative_elbo" in (tmp_path / "reference/flags/index.html").read_text("utf-8")
    assert (tmp_path / "portable/index.html").is_file() and (tmp_path / "index.html").is_file()
