"""The tables' scripts with programs that leave in a moment what the real ones leave after hours."""

import os
import subprocess
from pathlib import Path

from ..helpers import warm

# in a program of these: what follows a flag, as `value --out "$@"`
VALUE = """value() { while [[ $1 != "$2" ]]; do set -- "$1" "${@:3}"; done; printf %s "$3"; }"""


def stub(path: Path, script: str) -> None:
    """A program of ours in place of a real one."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{script}\n")
    path.chmod(0o755)


def path_with(folder: Path, **programs: str) -> str:
    """A PATH with `fairseq-NAME` that are these scripts in front."""
    for name, script in programs.items():
        stub(folder / f"bin/fairseq-{name}", script)
    return f"{folder}/bin{os.pathsep}{warm.use()}"


def trains(asked: Path, log: str, *checkpoints: str) -> str:
    """A fairseq-train that notes what it was asked, fails where FAIL ends its folder, and leaves these and a log."""
    left = " ".join(f"$2/checkpoint_{name}.pt" for name in checkpoints)
    return f"""echo "train $*" >>{asked}; while [[ $1 != --save-dir ]]; do shift; done
        [[ $2 != *"${{FAIL:-nothing}}" ]] || exit 1; touch {left}; echo '{log}' >$2/train.log"""


def the_real() -> str:
    """On to the real fairseq-latent."""
    return f'exec {warm.python()} -m fairseq_latent.cli "$@"'


def run_table(script: Path, *arguments: object, **variables: str) -> subprocess.CompletedProcess:
    """A script of scripts/tables, on the CPU, one thread."""
    own = {"PATH": warm.use(), "FAIRSEQ_LATENT_NO_VENV": "1", "AUTOCAST": "none", "OMP_NUM_THREADS": "1"}
    own |= {"FAIRSEQ_LATENT_DEVICE": "cpu"}
    command = ["bash", str(script), *map(str, arguments)]
    return subprocess.run(command, env=os.environ | own | variables, capture_output=True, text=True, timeout=300)
