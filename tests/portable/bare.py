"""Python without fairseq: torch, numpy, safetensors and the tokenizers' libraries are all that can be imported.

With transformers, which looks for many packages, everything but fairseq and what only fairseq needs.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..helpers.programs import quiet

ROOT = Path(__file__).parents[2]
ALLOWED = (
    *("fairseq_latent", "torch", "numpy", "safetensors", "sentencepiece", "tokenizers"),
    *("torchgen", "functorch", "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "filelock", "fsspec"),  # torch's
    *("typing_extensions", "setuptools"),
)
BEGIN = """
import json, sys
GIVEN = json.loads(sys.stdin.read())
ALLOWED = {*GIVEN["allowed"], *sys.stdlib_module_names}
OF_FAIRSEQ = {"fairseq", "fairseq_cli", "omegaconf", "hydra", "bitarray", "sacrebleu"}
class NothingElse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        missing = top in OF_FAIRSEQ or not (GIVEN["with_transformers"] or top in ALLOWED or top.startswith("_"))
        if missing:
            raise ModuleNotFoundError(f"{name} is not installed here", name=name)
sys.meta_path.insert(0, NothingElse())
GIVEN |= GIVEN["given"]
"""
END = """
assert not OF_FAIRSEQ & sys.modules.keys()
"""


def run(program: str, given: dict[str, Any], with_transformers: bool = False) -> Any:
    """Run a program that sees `given` as GIVEN and prints JSON; what it printed."""
    seen = {"allowed": ALLOWED, "with_transformers": with_transformers, "given": given}
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + program + END], input=json.dumps(seen), capture_output=True, text=True,
        timeout=240, cwd=ROOT, env=quiet(PYTHONPATH=str(ROOT)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)
