"""fairseq's own programs in this process, at one of two sizes: what `check_gpu.py` tries things with."""

import argparse
import contextlib
import io
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Scale:
    """Sizes: those of a GPU, or those of a test on a CPU."""

    arch: str
    base: str
    persona: str
    vocabulary: int
    max_tokens: int
    updates: int
    repeats: int
    shards: int  # of the test set, of which one is decoded
    persona_batch: tuple[int, int, int]  # examples, their tokens, words of the vocabulary


ON_GPU = Scale("t_cvae", "t_cvae", "persona_cvae_gpt2", 16000, 3360, 30, 10, 10, (16, 200, 50257))
ON_CPU = Scale("t_cvae_tiny", "t_cvae_tiny", "persona_cvae_gpt2_tiny", 60, 200, 3, 1, 1, (2, 30, 50))


class Runs:
    """fairseq's programs in this process, which has torch loaded and the GPU warm; checkpoints go to `folder`."""

    def __init__(self, args: argparse.Namespace, scale: Scale, folder: Path):
        self.args, self.scale, self.folder = args, scale, folder
        self.on_gpu = not args.cpu
        self.common = ("--user-dir", ROOT / "fairseq_latent", "--task", "dialogue", *(("--cpu",) if args.cpu else ()))

    def train(self, name: str, *flags: object) -> list[dict]:
        """The numbers that a training logged, one update after the other."""
        words = (
            *("--arch", self.scale.arch, "--criterion", "speculative_elbo", "--k", 5, "--optimizer", "adam"),
            *("--lr", "5e-4", "--max-tokens", self.scale.max_tokens, "--max-update", self.scale.updates, "--seed", 1),
            *(
                "--clip-norm",
                25,
                "--log-format",
                "json",
                "--log-interval",
                1,
                "--disable-validation",
                "--num-workers",
                0,
            ),
            *("--no-epoch-checkpoints", "--save-dir", self.folder / name, *flags),
        )
        return [numbers for tag, numbers in self._run("train", *words)[1] if tag == "train_inner"]

    def decode(self, name: str, *flags: object) -> tuple[dict[str, str], float]:
        """Hypotheses by their ids, and seconds."""
        words = (
            *("--path", self.folder / name / "checkpoint_last.pt", "--beam", 5, "--max-len-a", 0, "--max-len-b", 20),
            *("--num-shards", self.scale.shards, "--shard-id", 0, "--num-workers", 0, *flags),
        )
        begin = time.perf_counter()
        text = self._run("generate", *words)[0]
        seconds, found, seen = time.perf_counter() - begin, {}, Counter()
        for line in text.splitlines():
            if line.startswith("H-"):
                number, _, words_said = line.split("\t")
                found[f"{number}/{seen[number]}"] = words_said
                seen[number] += 1
        return found, seconds

    def _run(self, program: str, *flags: object) -> tuple[str, list[tuple[str, dict]]]:
        import fairseq_cli.generate
        import fairseq_cli.train

        main = getattr(fairseq_cli, program).cli_main
        words = [f"fairseq-{program}", self.args.data, *self.common, *flags]
        printed = io.StringIO()
        with (
            _numbers() as log,
            mock.patch.object(sys, "argv", [*map(str, words)]),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            main()
        return printed.getvalue(), log


@contextlib.contextmanager
def _numbers() -> Iterator[list[tuple[str, dict]]]:
    """What fairseq's progress bars log as JSON, with the tags that they rename their logger to."""
    from fairseq.logging import metrics, progress_bar

    metrics.reset()
    log: list[tuple[str, dict]] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            with contextlib.suppress(ValueError):
                log.append((record.name, json.loads(record.getMessage())))

    handler, before = Collect(), logging.root.handlers[:]
    progress_bar.logger.addHandler(handler)
    progress_bar.logger.setLevel(logging.INFO)
    logging.root.handlers[:] = []
    try:
        yield log
    finally:
        progress_bar.logger.removeHandler(handler)
        logging.root.handlers[:] = before
