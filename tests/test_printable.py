"""Nothing that a person reads controls the terminal that shows it: one function makes text printable."""

import io
import logging
import sys

import pytest
from fairseq import options

from fairseq_latent import cli, errors
from fairseq_latent.compat import error_messages
from fairseq_latent.errors import InputError, Page, printable
from preprocess.corpora import __main__ as corpora

OURS = ("--task", "dialogue", "--arch", "t_cvae_tiny")
HOSTILE = "a\x1b]0;x\a\x00\x9b2J\u202eb\u2066\u2028\r\x08c\udcff"
SHOWN = "a\\u001b]0;x\\u0007\\u0000\\u009b2J\\u202eb\\u2066\\u2028\\u000d\\u0008c\\udcff"


def test_what_controls_a_terminal_is_written_out():
    assert printable(HOSTILE) == SHOWN


@pytest.mark.parametrize("text", [
    "お茶が好きです。", "ｶﾞｷﾞ　全角", "👨\u200d👩\u200d👧 👍🏽 ❤\ufe0f 🏴\U000e0067\U000e0062\U000e007f", "naïve café e\u0301",
    "שלום مرحبا",
    "나는 차를",
    "~`\\[](){}*_#<>|&$%^",
])  # fmt: skip
def test_text_of_any_language_stays(text):
    assert printable(text) == text


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self):
        return True


@pytest.mark.parametrize("terminal", [False, True])
def test_a_commands_complaints_never_control_the_terminal_and_its_output_only_where_it_is_data(monkeypatch, terminal):
    out, complaints = (Terminal() if terminal else io.StringIO()), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", complaints)

    def main():
        print("one\ttwo", HOSTILE)
        print(f"note: {HOSTILE}\nand", file=sys.stderr)
        sys.stderr.writelines(["\r 1 %\x1b[A", "\x07\n"])
        raise InputError(f"{HOSTILE}; remedy: none")

    assert errors.run(main) == 2
    assert (sys.stdout, sys.stderr) == (out, complaints)
    assert out.getvalue() == f"one\ttwo {SHOWN if terminal else HOSTILE}\n"
    line = f"error: {SHOWN}; remedy: none\n"
    assert complaints.getvalue() == f"note: {SHOWN}\nand\n\r 1 %\\u001b[A\\u0007\n{line}"


@pytest.mark.parametrize("kind, shown", [
    (OURS, SHOWN),
    (("--task", "translation", "--arch", "transformer"), HOSTILE),
])  # fmt: skip
def test_fairseqs_log_on_a_terminal(monkeypatch, kind, shown):
    """It names files, as they are called. Stock models' logs may be coloured."""
    terminal, file = (logging.StreamHandler(stream) for stream in (Terminal(), io.StringIO()))
    monkeypatch.setattr(logging.getLogger(), "handlers", [terminal, file])
    options.parse_args_and_arch(options.get_training_parser(), ["data", *kind])
    logging.getLogger("fairseq").warning("loading\n\t%s", HOSTILE)
    assert terminal.stream.getvalue() == f"loading\n\t{shown}\n"
    assert file.stream.getvalue() == f"loading\n\t{HOSTILE}\n"


def test_what_fairseqs_command_lines_do_not_know(capsys):
    with pytest.raises(SystemExit):
        options.parse_args_and_arch(options.get_training_parser(), ["data", *OURS, f"--what={HOSTILE}"])
    assert capsys.readouterr().err.endswith(f"error: unrecognized arguments: --what={SHOWN}\n")


def test_a_page_is_the_stream_otherwise():
    stream = Terminal()
    page = Page(stream)
    assert page.write("a\x1bb\n") == 4 and page.isatty() and page.getvalue() == "a\\u001bb\n"


def test_the_hook_of_fairseqs_commands_writes_it_out_too(monkeypatch, capsys):
    monkeypatch.setattr(error_messages.Command, "ours", True, raising=False)
    hook = error_messages.one_line_hook(None)
    error = InputError(f"{HOSTILE}: no such file")
    with pytest.raises(SystemExit):
        hook(type(error), error, None)
    assert capsys.readouterr().err == f"error: {SHOWN}: no such file\n"


@pytest.mark.parametrize(
    "main, words", [(cli.main, ["table", "personas", "a=b"]), (corpora.main, ["pairs", "a", "b", "--out", "c"])]
)
def test_what_argparse_complains_of_is_one_printable_line(main, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--none", "a\nb\x1b[2J"])
    assert stopped.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith(": error: unrecognized arguments: --none a\\u000ab\\u001b[2J"), last
