"""The smoke quickstart for tests: in a folder that looks like the repository, with what it needs set up already."""

import os
import random
import subprocess
import time
from pathlib import Path

from . import warm

ROOT = Path(__file__).parents[2]
NAME = "quickstart-smoke"
# what it is prepared with, for prepare.sh to know the folder again
PREPARED = {
    "MAX_WORDS": "25",
    "CONTEXT_TURNS": "1",
    "VOCABULARY": "500",
    "VALID": "0.03",
    "TEST": "0.05",
    "SAMPLES": "10",
}
# no choice by measurement, which may differ from run to run; one thread, or sums may be rounded in another order
SAME = {"AUTOCAST": "none", "OMP_NUM_THREADS": "1", "FAIRSEQ_LATENT_NO_VENV": "1"}


def checkout(folder: Path) -> Path:
    """The repository's folders by links, but a setup.sh that does nothing: tests install nothing."""
    scripts = folder / "scripts"
    scripts.mkdir(parents=True)
    for path in (ROOT / "scripts").iterdir():
        (scripts / path.name).symlink_to(path)
    (scripts / "setup.sh").unlink()
    (scripts / "setup.sh").write_text("#!/usr/bin/env bash\ntrue\n")
    for name in ("fairseq_latent", "preprocess"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def start(folder: Path, log: Path) -> subprocess.Popen:
    """Start the smoke quickstart of a checkout, as the head of a session, its results in the same folder."""
    environment = os.environ | SAME | {"PATH": warm.use()}
    command = ["bash", str(folder / "scripts/quickstart.sh"), "--smoke", "--out", str(folder)]
    with log.open("a") as file:
        return subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)


def finish(folder: Path, log: Path) -> None:
    """Run it to its end."""
    code = start(folder, log).wait()
    assert code == 0, log.read_text()[-4000:]


def kill(folder: Path, log: Path, moments: random.Random, within: float) -> bool:
    """Start it, and kill it and all that it started at some moment in so many seconds; False if it ended before."""
    running = start(folder, log)
    deadline = time.monotonic() + moments.uniform(0, within)
    while running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    alive = running.poll() is None
    subprocess.run(["pkill", "-KILL", "-s", str(running.pid)], check=alive)
    running.wait()
    return alive
