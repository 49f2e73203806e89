"""scripts/fairseq_tests.sh: what fails with the plugin alone is told apart from what fails anyway."""

from pathlib import Path

from ..helpers import programs

SCRIPT = Path(__file__).parents[2] / "scripts/fairseq_tests.sh"
TESTS = """import sys

def test_without(): assert "fairseq_latent" not in sys.modules
def test_with(): assert "fairseq_latent" in sys.modules
def test_never(): assert False
"""


def test_what_fails_with_the_plugin_alone(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_stock.py").write_text(TESTS)
    done = programs.command("bash", SCRIPT, tmp_path, FAIRSEQ_LATENT_NO_VENV="1")
    assert (done.returncode, done.stdout) == (1, "tests/test_stock.py::test_without\n"), done.stderr
    assert "== 1 fail with the plugin alone, 1 without it alone" in done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*.py")) == ["test_stock.py"]
    done = programs.command("bash", SCRIPT, tmp_path / "tests")
    assert done.returncode == 2 and "has no folder tests; remedy" in done.stderr
