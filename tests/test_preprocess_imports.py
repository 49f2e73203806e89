"""preprocess starts in a moment: it loads neither torch nor fairseq."""

import subprocess
import sys
from pathlib import Path

PREPROCESS = Path(__file__).parents[1] / "preprocess"
FILES = sorted(PREPROCESS.rglob("[!_]*.py")) + sorted(PREPROCESS.glob("*/__main__.py"))
COMMANDS = [path for path in FILES if "\ndef main(" in path.read_text("utf-8")]


def dotted(path):
    return ".".join(path.relative_to(PREPROCESS.parent).with_suffix("").parts)


def test_no_module_loads_torch_or_fairseq():
    imports = "".join(f"import {dotted(path)}\n" for path in FILES)
    check = "import sys; print(sorted({'torch', 'fairseq', 'hydra'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", imports + check], capture_output=True, text=True, check=True)
    assert PREPROCESS / "subwords.py" in FILES
    assert done.stdout == "[]\n"


def test_every_command_explains_itself():
    assert {"clean", "split", "subwords"} < {path.stem for path in COMMANDS}
    for path in COMMANDS:
        name = dotted(path).removesuffix(".__main__")
        done = subprocess.run([sys.executable, "-m", name, "--help"], capture_output=True, text=True)
        assert done.returncode == 0, name
        assert f"python -m {name}" in done.stdout
