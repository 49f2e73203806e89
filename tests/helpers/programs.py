"""fairseq's own programs for tests: in this process where many runs are needed, as commands where only that is honest."""

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import torch
from fairseq import checkpoint_utils
from fairseq.logging import metrics, progress_bar
from fairseq_cli import generate, interactive, preprocess, train, validate

import fairseq_latent
from fairseq_latent import cli

from ..compat import fast_configs
from . import warm

fast_configs.use()
PLUGIN = str(Path(fairseq_latent.__file__).parent)
PLUG_IN = ("--user-dir", PLUGIN, "--task", "dialogue")
TINY_TRAINING = (
    *("--optimizer", "adam", "--lr", "0.003", "--batch-size", "8", "--max-update", "5", "--seed", "1"),
    *("--log-format", "json", "--log-interval", "1", "--num-workers", "0", "--cpu"),
)
MAINS = {
    "fairseq-preprocess": preprocess.cli_main,
    "fairseq-train": train.cli_main,
    "fairseq-validate": validate.cli_main,
    "fairseq-generate": generate.cli_main,
    "fairseq-interactive": interactive.cli_main,
}


@dataclass
class Printed:
    """What a program printed, and the numbers it logged: (tag, values) in order, e.g. ("valid", {"valid_loss": …})."""

    text: str
    log: list[tuple[str, dict[str, float]]]

    def numbers(self, tag: str) -> list[dict[str, float]]:
        """All values logged under `tag` (train_inner, train, valid), without the tag's prefix."""
        return [
            {name.removeprefix(f"{tag}_"): _number(value) for name, value in values.items()}
            for logged, values in self.log
            if logged == tag
        ]

    def hypotheses(self) -> dict[str, list[str]]:
        """Sentence id -> its hypotheses in the printed order, of fairseq-generate and fairseq-interactive."""
        found: dict[str, list[str]] = {}
        for line in self.text.splitlines():
            if line.startswith("H-"):
                name, _, words = line.split("\t")
                found.setdefault(name.removeprefix("H-"), []).append(words)
        return found


def run(program: str, *arguments: object, stdin: str = "") -> Printed:
    """Run a program's `cli_main` in this process, with fairseq's global state as a fresh process has it."""
    checkpoint_utils.save_checkpoint.__dict__.pop("best", None)
    metrics.reset()
    printed, root = io.StringIO(), logging.getLogger()
    before = root.handlers[:], root.level
    with (
        _numbers() as log,
        mock.patch.object(sys, "argv", [program, *map(str, arguments)]),
        mock.patch.object(sys, "stdin", io.StringIO(stdin)),
        contextlib.redirect_stdout(printed),
    ):
        try:
            MAINS[program]()
        finally:
            root.handlers[:], root.level = before
    return Printed(printed.getvalue(), log)


def fit(data: Path | str, folder: Path, *flags: object, arch: str = "t_cvae_tiny", criterion: str = "elbo") -> Printed:
    """`fairseq-train` in this process: five updates of a tiny model, later flags win."""
    kind = ("--arch", arch, "--criterion", criterion)
    return run("fairseq-train", data, *PLUG_IN, *kind, *TINY_TRAINING, "--save-dir", folder, *flags)


def decode(data: Path | str, checkpoint: Path, *flags: object) -> Printed:
    """`fairseq-generate` in this process."""
    return run("fairseq-generate", data, *PLUG_IN, "--path", checkpoint, "--cpu", "--num-workers", "0", *flags)


def command(*words: object, stdin: str = "", **environment: str) -> subprocess.CompletedProcess:
    """Run a real command line, which starts in a moment."""
    words = warm.python() if words[0] == sys.executable else words[0], *words[1:]
    environment = {"PATH": warm.use(), **environment}
    return subprocess.run(
        [*map(str, words)], input=stdin, capture_output=True, text=True, timeout=120, env=quiet(**environment)
    )


def tool(*words: object, stdin: str = "") -> subprocess.CompletedProcess:
    """`fairseq-latent` in this process, its words those of the command line."""
    printed = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2)]
    with (
        mock.patch.object(sys, "stdin", io.StringIO(stdin)),
        contextlib.redirect_stdout(printed[0]),
        contextlib.redirect_stderr(printed[1]),
    ):
        code = cli.main([*map(str, words)])
    return subprocess.CompletedProcess(words, code, *(stream.buffer.getvalue().decode() for stream in printed))


def quiet(**environment: str) -> dict[str, str]:
    """This environment, with threads that don't fight for two cores."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", **environment}


def parameters(checkpoint: Path) -> dict[str, torch.Tensor]:
    """The model in a checkpoint."""
    return checkpoint_utils.load_checkpoint_to_cpu(str(checkpoint))["model"]


def assert_same_parameters(one: Path, other: Path) -> None:
    """To the last bit."""
    first, second = parameters(one), parameters(other)
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different


@contextlib.contextmanager
def _numbers() -> Iterator[list[tuple[str, dict]]]:
    """Collect what fairseq's progress bars log as JSON; they rename their logger to the tag."""
    log: list[tuple[str, dict]] = []

    class Collect(logging.Handler):
        def emit(self, record):
            with contextlib.suppress(ValueError):
                log.append((record.name, json.loads(record.getMessage())))

    handler = Collect()
    progress_bar.logger.addHandler(handler)
    progress_bar.logger.setLevel(logging.INFO)
    try:
        yield log
    finally:
        progress_bar.logger.removeHandler(handler)


def _number(value) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return value
