"""The quickstart from end to end, and killed again and again: the same numbers come out."""

import json
import os
import random
import shutil
from pathlib import Path

import pytest

from ..helpers import programs, quickstart

pytestmark = pytest.mark.slow
RUNS = ("t_cvae", "speculative_k5")
# FAIRSEQ_LATENT_KILLS=10: so many, and of a quickstart that begins with nothing; else a few, after the data are prepared
KILLS = os.environ.get("FAIRSEQ_LATENT_KILLS")


def table(home: Path) -> list[str]:
    """The rows of the results, and what all of a report is about but for times."""
    page = (home / "runs" / quickstart.NAME / "report/report.md").read_text(encoding="utf-8")
    results = page.partition("## Results")[2].partition("\n## ")[0]
    assert results.count("\n| ") == 4, page
    return results.splitlines()


def measured(run: Path) -> dict:
    """What was decoded and measured of a run."""
    found = {name: json.loads((run / name).read_text()) for name in ("latents.valid.json", "latents.test.json")}
    for name in ("generate.test.txt", "samples.test1.txt"):
        found[name] = [line for line in (run / name).read_text().splitlines() if line[:2] in ("H-", "D-")]
    return found


def test_a_page_with_everything(smoke):
    runs = smoke / "runs" / quickstart.NAME
    page = (runs / "report/report.html").read_text(encoding="utf-8")
    assert "T-CVAE" in page and "Speculative K=5" in page and "data:image" in page
    assert table(smoke)
    assert not list(smoke.rglob("*.part"))
    assert "DEBUG:" not in (smoke / "log").read_text()  # of libraries, which fairseq makes talkative


def test_the_same_numbers_however_often_it_is_killed(smoke, tmp_path):
    home, log = quickstart.checkout(tmp_path / "killed"), tmp_path / "log"
    seconds = float((smoke / "seconds").read_text())
    if not KILLS:
        shutil.copytree(smoke / "data-bin", home / "data-bin")
        runs = home / "runs" / quickstart.NAME
        runs.mkdir(parents=True)
        for name in ("conversations.jsonl", "few.jsonl"):
            shutil.copy2(smoke / "runs" / quickstart.NAME / name, runs / name)
        seconds *= 0.8
    kills, moments = int(KILLS or 3), random.Random(1)
    killed = sum(quickstart.kill(home, log, moments, 2 * seconds / kills) for _ in range(kills))
    assert killed, "it was done before the first kill"
    quickstart.finish(home, log)
    assert table(home) == table(smoke)
    for name in RUNS:
        ours, theirs = (folder / "runs" / quickstart.NAME / name for folder in (home, smoke))
        assert measured(ours) == measured(theirs)
        programs.assert_same_parameters(ours / "checkpoint_best.pt", theirs / "checkpoint_best.pt")
    assert not list(home.rglob("*.part"))
