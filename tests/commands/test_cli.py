"""The `fairseq-latent` command: its list, its laziness, its exit codes."""

import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest

from fairseq_latent import __version__, cli


def run(*arguments, **variables):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "fairseq_latent.cli", *arguments]
    environment = {**os.environ, **variables}
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60, env=environment)


def test_help_lists_every_command_with_one_line():
    result = run("--help", COLUMNS="200")
    assert result.returncode == 0
    shown = " ".join(result.stdout.split())  # argparse breaks the line after the longest name
    for name, summary in cli.COMMANDS.items():
        assert f" {name} {summary} " in shown


def test_help_imports_no_command():
    code = (
        "import sys; from fairseq_latent import cli; cli._parser([]); "
        "sys.exit(bool({*map(cli.module_of, cli.COMMANDS)} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_flags_are_read_before_torch_is_imported():
    """A help or a mistyped flag takes no seconds."""
    code = """
import sys
from fairseq_latent import cli
for name in cli.COMMANDS:
    cli._parser([name])
    if found := {"torch", "fairseq"} & set(sys.modules):
        sys.exit(f"{name}: {found}")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"fairseq_latent {__version__}\n"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_both_functions_and_a_help(name, capsys):
    module = cli.module_of(name)
    assert find_spec(module) is not None
    assert callable(import_module(module).add_arguments)
    assert callable(import_module(module).main)
    with pytest.raises(SystemExit) as stopped:
        cli.main([name, "--help"])
    assert stopped.value.code == 0
    assert cli.COMMANDS[name].split()[0] in capsys.readouterr().out


def test_wrong_or_missing_commands_exit_with_2(capsys):
    for arguments in ([], ["sing"], ["score"]):
        with pytest.raises(SystemExit) as stopped:
            cli.main(arguments)
        assert stopped.value.code == 2
    assert "NAME=FILE" in capsys.readouterr().err


def test_a_users_mistake_is_one_line_and_exit_code_2():
    result = run("score", "nonsense")
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == "error: nonsense: a system needs a name and a file; remedy: write NAME=FILE\n"


def test_a_defect_keeps_its_traceback(monkeypatch):
    def broken(args):
        raise ZeroDivisionError

    monkeypatch.setattr("fairseq_latent.commands.score.main", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["score", "a=b"])


def test_a_terminal_without_unicode_gets_no_traceback(tmp_path):
    path = tmp_path / "responses.txt"
    path.write_text("hi\n", encoding="utf-8")
    result = run("score", f"a={path}", "--lang", "none", PYTHONIOENCODING="ascii")
    assert result.returncode == 0
    assert "\\u2013" in result.stdout  # the dash of a missing value
