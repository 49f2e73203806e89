"""What the scripts leave to Python, where the scripts' own tests do not reach: quoting, budgets, killed jobs and scripts."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fairseq_latent.errors import InputError
from fairseq_latent.shell import training
from fairseq_latent.shell.made_files import make_file
from fairseq_latent.shell.processes import quoted, same_words
from fairseq_latent.shell.training import Flags, share_out, split_flags

LIB = Path(__file__).parents[2] / "scripts/lib.sh"
WORDS = ("plain", "a b", "a&b", "(0.9, 0.98)", "", "it's", '"', "日本", "~/x", "tab\there", "x=$HOME", "-n", "*")


@pytest.fixture(autouse=True)
def stays_alive(monkeypatch):
    """This process does not end with the one that started it."""
    for module in ("made_files", "training"):
        monkeypatch.setattr(f"fairseq_latent.shell.{module}.end_with_script", lambda: None)


def test_words_are_quoted_so_that_bash_reads_them_back():
    read = subprocess.run(["bash", "-c", f"printf '%s\\n' {quoted(WORDS)}"], capture_output=True, text=True).stdout
    assert read.removesuffix("\n").split("\n") == list(WORDS)


def test_what_bash_noted_is_recognized():
    """Trainings and measurements from before this module are not repeated."""
    words = [word for word in WORDS if word.isprintable()]
    noted = subprocess.run(["bash", "-c", "printf '%q ' \"$@\"", "-", *words], capture_output=True, text=True).stdout
    assert same_words(noted, quoted(words)) and not same_words(noted, quoted(words[1:]))
    assert not same_words("an 'open quote", quoted(words))


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        ("--lr 1 --max-update 5 --save-interval-updates=9 --k 2", Flags("5", "0", ("--lr", "1", "--k", "2"))),
        ("--max-update 5 --max-epoch=3 --max-update=7", Flags("7", "3", ())),
        ("--cpu --max-update", Flags("", "0", ("--cpu",))),
    ],
)
def test_a_budget_is_no_part_of_what_is_trained(words, flags):
    assert split_flags(words.split()) == flags


def test_update_freq_is_shared_out():
    assert list(share_out(["--update-freq", "8", "--k", "2"], 4)) == ["--update-freq", "2", "--k", "2"]
    with pytest.raises(InputError, match="--update-freq 6 cannot be shared by 4 processes; remedy: "):
        list(share_out(["--update-freq", "6"], 4))


def test_a_training_knows_its_data_by_what_it_reads(tmp_path):
    names = ("dict.src.txt", "train.src-tgt.src.idx", "train.src-tgt.tgt.idx", "train.fader")
    for name in names:
        (tmp_path / name).write_text(name)
    by_bash = 'cd "$1"; cat dict.src.txt train.*.idx train.fader | sha256sum'
    assert subprocess.run(["bash", "-c", by_bash, "-", tmp_path], capture_output=True, text=True).stdout.startswith(
        training._digest(str(tmp_path))
    )


def test_a_file_is_made_again_only_if_its_command_or_an_input_is_another(tmp_path, capfd):
    made, given, counted = (tmp_path / name for name in ("made", "given", "counted"))
    given.touch()

    def make(word="x"):
        make_file(str(made), str(given), "--", "bash", "-c", f"echo >>{counted}; echo {word}")
        return len(counted.read_text())

    assert (make(), make()) == (1, 1)
    assert make("y") == 2 and made.read_text() == "y\n"
    os.utime(given, (time.time() + 9,) * 2)
    assert make("y") == 3
    with pytest.raises(InputError, match=r"bash failed: no; all of it: \S+/made.err"):
        make_file(str(made), "--", "bash", "-c", "echo no >&2; exit 1")
    assert made.read_text() == "y\n"
    with pytest.raises(InputError, match="bash failed: killed by SIGKILL, perhaps for memory"):
        make_file(str(made), "--", "bash", "-c", "kill -9 $$")
    assert capfd.readouterr().err.count("+ bash -c ") == 5


def test_a_job_that_is_killed_is_named():
    job = f"job() {{ kill -9 $BASHPID; }}; source {LIB}; run_parallel training updates job /x/a"
    done = subprocess.run(["bash", "-euc", job], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr == "error: training a was killed, perhaps for memory; remedy: fewer JOBS, or more memory\n"


def test_jobs_have_the_scripts_variables_functions_and_options(tmp_path):
    job = f"""list=("a b" c); one='two
    lines'; other() {{ printf '%s|' "${{list[@]}}" "$one" "$1" "$IN_PARALLEL"; }}
    job() {{ other "$1"; false; echo not here; }}; source {LIB}; run_parallel x updates job "r/ä &"""
    done = subprocess.run(["bash", "-euc", f'{job}"'], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (2, "a b|c|two\n    lines|r/ä &|1|")


def test_the_death_of_a_script_ends_its_jobs(tmp_path):
    """Whoever starts it again would be refused until they end."""
    naptime = f"98.{os.getpid()}"
    job = f"job() {{ touch {tmp_path}/begun; sleep {naptime}; }}; source {LIB}; run_parallel x updates job a"
    script = subprocess.Popen(["bash", "-euc", job], stderr=subprocess.DEVNULL)
    while not (tmp_path / "begun").exists():
        time.sleep(0.05)
    script.kill()
    script.wait()
    deadline = time.monotonic() + 15
    while not subprocess.run(["pgrep", "-f", f"^sleep {naptime}$"], capture_output=True).returncode:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_it_needs_neither_torch_nor_numpy():
    code = "import sys, fairseq_latent.shell.__main__; assert not {'torch', 'fairseq', 'numpy', 'tqdm'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
