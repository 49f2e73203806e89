"""What is registered, and what documents and tests list: the same."""

import re
from pathlib import Path

from fairseq.criterions import CRITERION_REGISTRY
from fairseq.models import ARCH_MODEL_REGISTRY
from fairseq.tasks import TASK_REGISTRY

from fairseq_latent import cli

from .. import test_interface
from ..criterions import test_criterions

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/training.md").read_text("utf-8")
SIZES = ("_small", "_tiny")


def ours(registry) -> set[str]:
    return {name for name, kind in registry.items() if kind.__module__.startswith("fairseq_latent.")}


def row(what: str) -> set[str]:
    """The names in the page's row about a flag."""
    (line,) = re.findall(rf"^\| `--{what}` \| (.*) \|$", PAGE, flags=re.MULTILINE)
    return set(re.findall(r"`([a-z0-9_]+)`", line))


def test_the_page_names_every_task():
    assert row("task") >= ours(TASK_REGISTRY)


def test_the_page_names_every_architecture():
    whole = {name.removesuffix("_small").removesuffix("_tiny") for name in ours(ARCH_MODEL_REGISTRY)}
    assert row("arch") >= whole
    for name in whole:
        assert {f"{name}{size}" for size in SIZES} <= ours(ARCH_MODEL_REGISTRY), name


def test_the_page_and_the_tests_name_every_criterion():
    assert row("criterion") >= ours(CRITERION_REGISTRY)
    of_latents = {
        name for name in ours(CRITERION_REGISTRY) if name not in ("double_heads", "receiver_margin", "self_play")
    }
    assert set(test_criterions.EVERY) == of_latents


def test_the_interface_is_tried_on_every_architecture():
    tried = {*test_interface.DIALOGUE, *test_interface.OF_PERSONAS, "gru_vae_tiny", "p2bot_receiver_tiny"}
    assert tried == {name for name in ours(ARCH_MODEL_REGISTRY) if name.endswith("_tiny")}


def test_some_page_shows_every_command():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    text = "\n".join(page.read_text("utf-8") for page in pages)
    for name in cli.COMMANDS:
        assert f"fairseq-latent {name}" in text, name
