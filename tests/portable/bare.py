"""Python without fairseq: an environment of links to torch, numpy, safetensors, the tokenizers and what these need.

With transformers, which needs many, to all that is installed but fairseq and what only fairseq needs.
"""

import json
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from ..helpers.programs import quiet

ROOT = Path(__file__).parents[2]
ALLOWED = (
    *("torch", "numpy", "safetensors", "sentencepiece", "tokenizers"),
    *("torchgen", "functorch", "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "filelock", "fsspec"),  # torch's
    *("typing_extensions", "nvidia", "triton"),
)
OF_FAIRSEQ = ("fairseq", "fairseq_cli", "fairseq_latent", "ve_fairseq", "omegaconf", "hydra", "bitarray", "sacrebleu")
BEGIN = """
import json, sys
GIVEN = json.loads(sys.stdin.read())
"""
END = f"""
assert not {set(OF_FAIRSEQ) - {"fairseq_latent"}} & sys.modules.keys()
"""


def run(program: str, given: dict[str, Any], with_transformers: bool = False) -> Any:
    """Run a program that sees `given` as GIVEN and prints JSON; what it printed."""
    with tempfile.TemporaryDirectory() as site:
        for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
            top = path.name.partition(".")[0].partition("-")[0].lower()
            if top not in OF_FAIRSEQ and (with_transformers or top in ALLOWED) and path.suffix != ".pth":
                (Path(site) / path.name).symlink_to(path)
        (Path(site) / "fairseq_latent").symlink_to(ROOT / "fairseq_latent")
        done = subprocess.run(
            [sys.executable, "-S", "-c", BEGIN + program + END], input=json.dumps(given), capture_output=True, text=True,
            timeout=240, cwd=site, env=quiet(PYTHONPATH=site),
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)
