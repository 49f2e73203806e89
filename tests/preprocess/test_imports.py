"""preprocess starts in a moment: it loads neither torch nor fairseq."""

import subprocess
import sys
from pathlib import Path

import pytest

PREPROCESS = Path(__file__).parents[2] / "preprocess"
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


def test_every_corpus_explains_itself(capsys):
    from preprocess.corpora.__main__ import CORPORA, main

    for name in CORPORA:
        with pytest.raises(SystemExit) as stopped:
            main([name, "--help"])
        assert stopped.value.code == 0
        shown = capsys.readouterr().out
        assert f"python -m preprocess.corpora {name}" in shown and "--out" in shown


def test_an_unknown_corpus_is_refused(capsys):
    from preprocess.corpora.__main__ import main

    for words in (["prose"], []):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == 2
    assert "invalid choice: 'prose'" in capsys.readouterr().err
