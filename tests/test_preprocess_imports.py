"""preprocess starts in a moment: it loads neither torch nor fairseq."""

import subprocess
import sys
from pathlib import Path

MODULES = sorted(path.stem for path in Path(__file__).parents[1].joinpath("preprocess").glob("[!_]*.py"))


def test_no_module_loads_torch_or_fairseq():
    imports = "".join(f"import preprocess.{name}\n" for name in MODULES)
    check = "import sys; print(sorted({'torch', 'fairseq', 'hydra'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", imports + check], capture_output=True, text=True, check=True)
    assert "subwords" in MODULES
    assert done.stdout == "[]\n"


def test_every_command_explains_itself():
    for name in MODULES:
        if name in ("conversation", "lines", "pieces"):
            continue
        done = subprocess.run([sys.executable, "-m", f"preprocess.{name}", "--help"], capture_output=True, text=True)
        assert done.returncode == 0
        assert f"python -m preprocess.{name}" in done.stdout
