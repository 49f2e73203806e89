"""The folder of one training and what was measured of it, as the recipes leave it: where each file is, what makes it."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fairseq_latent.errors import InputError

from .outside_systems import FORM, is_outside
from .response_files import named_paths, of_seeds

CHECKPOINT, LOG = "checkpoint_best.pt", "train.log"
GENERATED, SAMPLES = "generate.test.txt", "samples.test1.txt"
LATENTS_VALID, LATENTS_TEST = "latents.valid.json", "latents.test.json"

MADE_BY = {
    CHECKPOINT: "fairseq-train … --save-dir {folder}",
    LOG: "fairseq-train … --log-format json --log-interval 20 --log-file {folder}/train.log",
    GENERATED: "fairseq-generate DATA … --gen-subset test --beam 5 --path {folder}/checkpoint_best.pt > {file}",
    SAMPLES: "fairseq-generate DATA … --gen-subset test1 --beam 5 --latent-samples 5 "
    "--path {folder}/checkpoint_best.pt > {file}",
    LATENTS_VALID: "fairseq-latent latents DATA --path {folder}/checkpoint_best.pt --split valid "
    "--format json --out {file}",
    LATENTS_TEST: "fairseq-latent latents DATA --path {folder}/checkpoint_best.pt --split test "
    "--format json --out {file}",
}
RANKING = "rank.test.json"
OPTIONAL = {RANKING: "fairseq-latent rank DATA {folder}/checkpoint_best.pt --format json --out {file}"}


@dataclass(frozen=True)
class RunFolder:
    """One training: the name it has in every table and picture, and its folder. system: of which it was said to be a seed.

    Where a system was not trained here, `folder` is the file of its responses (`outside`).
    """

    name: str
    folder: Path
    system: str | None = None

    @property
    def outside(self) -> bool:
        """Whether there are responses alone."""
        return is_outside(self.folder) and not self.folder.is_dir()

    @property
    def responses(self) -> Path:
        """The file of its responses to the test set."""
        return self.folder if self.outside else self.folder / GENERATED

    def file(self, name: str) -> Path:
        """The path of a file that must be there."""
        path = self.folder / name
        if not path.is_file():
            raise InputError(f"{path} is missing; remedy: {self.made_by(name)}")
        return path

    def made_by(self, name: str) -> str:
        """The command that made a file, as the recipes noted it beside the file, or in general."""
        if self.outside:
            return FORM.removeprefix("remedy: ")
        noted = self.folder / f"{name}.command"
        if noted.is_file():
            command = noted.read_text(encoding="utf-8", errors="replace").strip()
            return command if name in (CHECKPOINT, LOG) else f"{command} > {shlex.quote(str(self.folder / name))}"
        return (MADE_BY | OPTIONAL)[name].format(folder=self.folder, file=self.folder / name)

    def require(self, *names: str) -> None:
        """Find out what is missing before anything long is computed."""
        for name in names:
            self.file(name)


def run_folders(specifications: Sequence[str], all_there: bool = True, files: bool = False) -> list[RunFolder]:
    """Each NAME=RUN, and each training of NAME=RUN,RUN,…, the seeds of a system; with `files` NAME=FILE.jsonl, too.

    The folders must exist, or one of them where the rest is shown without the others.
    """
    runs = []
    for name, given in named_paths(specifications, "run"):
        folders = of_seeds(given)
        if len(set(folders)) < len(folders):
            raise InputError(f"{name}={given}: a run stands twice; remedy: a run per seed")
        seeds = [RunFolder(f"{name} ({folder})", Path(folder), name) for folder in folders]
        runs += seeds if len(seeds) > 1 else [RunFolder(name, Path(given))]
    absent = [run for run in runs if not (run.folder.is_dir() or (files and run.outside and run.folder.is_file()))]
    if absent and (all_there or len(absent) == len(runs)):
        raise InputError(f"{absent[0].folder}: no such folder; remedy: NAME=RUN with the folder a recipe made")
    return runs
