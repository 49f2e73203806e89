"""docs/quickstart.ipynb is what docs/quickstart.py, its text form, says, and runs on the quickstart's folder.

`python -m tests.house.test_notebook` writes it again.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..helpers import quickstart

DOCS = Path(__file__).parents[2] / "docs"


def cells_of(text: str) -> list[tuple[str, str]]:
    """(kind, source) of each cell of the percent form."""
    body = re.sub(r"\A# ---\n.*?^# ---\n", "", text, flags=re.MULTILINE | re.DOTALL)
    found = []
    for part in re.split(r"^# %%", body, flags=re.MULTILINE)[1:]:
        head, _, source = part.partition("\n")
        kind = "markdown" if "[markdown]" in head else "code"
        source = source.strip("\n")
        if kind == "markdown":
            source = "\n".join(line.removeprefix("#").removeprefix(" ") for line in source.split("\n"))
        found.append((kind, source))
    return found


def notebook_of(text: str) -> dict:
    """In the form of nbformat 4.5, without outputs."""
    cells = []
    for number, (kind, source) in enumerate(cells_of(text)):
        cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": source.splitlines(keepends=True)}
        cells.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def written(text: str) -> str:
    return json.dumps(notebook_of(text), ensure_ascii=False, indent=1) + "\n"


def test_the_notebook_is_its_text_form():
    text = (DOCS / "quickstart.py").read_text("utf-8")
    assert (DOCS / "quickstart.ipynb").read_text("utf-8") == written(text)
    kinds = [kind for kind, _ in cells_of(text)]
    assert kinds.count("code") == 4 and kinds.count("markdown") == 4


@pytest.mark.slow
def test_the_notebook_runs(smoke):
    cells = json.loads((DOCS / "quickstart.ipynb").read_text("utf-8"))["cells"]
    code = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    places = {
        "RUN": str(smoke / "runs" / quickstart.NAME / "speculative_k5"),
        "DATA": str(smoke / f"data-bin/{quickstart.NAME}"),
    }
    environment = os.environ | places | {"MPLBACKEND": "agg"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("   ->") == 6 and "NLL under the prior" in done.stdout


if __name__ == "__main__":
    (DOCS / "quickstart.ipynb").write_text(written((DOCS / "quickstart.py").read_text("utf-8")), "utf-8")
