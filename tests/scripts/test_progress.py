"""What the scripts say while they work, two of them in one folder, and what a disk says against them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fairseq_latent.shell import progress

from .stand_ins import stub
from .test_recipes_and_evaluate import PATH, ROOT, bash

TRAIN_LOG = '{"epoch": 1, "loss": "5", "ups": "2.5", "lr": "0.1", "num_updates": "400", "wall": "9"}'
RECIPE = ROOT / "scripts/recipes/t_cvae.sh"


def lib(script, **variables):
    """Some lines of bash after lib.sh."""
    return bash("-c", f'set -euo pipefail; source "{ROOT}/scripts/lib.sh"; {script}', **variables)


def say(folder, line):
    return f"printf '%s\\n' '{line}' >> {folder}"


@pytest.fixture
def trained(tmp_path):
    """A recipe with a fairseq-train that logs an update, warns, and takes two seconds."""
    run = tmp_path / "run"
    warning = "2026-01-01 00:00:00 | WARNING | fairseq_latent.budget | too short"
    lines = (
        say(run / "train.log", TRAIN_LOG),
        f"echo '{warning}'",
        "echo '2026-01-01 00:00:00 | WARNING | fairseq.trainer | theirs'",
        "sleep ${TAKES:-2}",
        f"touch {run}/checkpoint_last.pt",
        "exit ${CODE:-0}",
    )
    stub(tmp_path / "bin/fairseq-train", "\n".join(lines))

    def recipe(**variables):
        path = f"{tmp_path}/bin{os.pathsep}{PATH}"
        return bash(RECIPE, PATH=path, RUN=str(run), DATA="data-bin/x", **variables)

    return recipe


def test_a_recipe_tells_what_it_runs_and_how_far_it_is(trained, tmp_path):
    done = trained(MAX_UPDATE="1000", PROGRESS_SECONDS="1")
    assert done.returncode == 0, done.stderr
    command, *lines = done.stderr.splitlines()
    assert command.startswith("+ fairseq-train data-bin/x ")
    assert "training run  400/1000 updates, 2.5 per second, 4 min 0 s left" in lines  # 600 / 2.5 = 240
    assert lines.count("warning: training run: too short") == 1
    assert not any("theirs" in line for line in lines)
    assert lines[-1].startswith(f"== {tmp_path}/run is trained, in ")
    assert "too short" in (tmp_path / "run/train.out").read_text()


def test_a_line_every_half_minute_is_the_default(trained):
    done = trained()
    assert done.returncode == 0
    assert not any(line.startswith("training run") for line in done.stderr.splitlines())


def test_a_training_that_fails_is_one_line_beside_its_command_and_warnings(trained):
    done = trained(CODE="2", TAKES="0")
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")] == [done.stderr.splitlines()[-1]]


def test_among_others_a_training_shows_its_warnings_alone(trained):
    done = trained(IN_PARALLEL="1", PROGRESS_SECONDS="0", TAKES="1")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stderr.splitlines()] == ["+", "warning:"]


def test_nothing_of_the_watch_is_left_when_a_script_is_killed(trained, tmp_path):
    path = [
        f"{tmp_path}/bin",
        str(Path(sys.executable).parent),
        os.environ["PATH"],
    ]  # a Python whose parent is the script
    variables = {"PATH": os.pathsep.join(path), "FAIRSEQ_LATENT_NO_VENV": "1", "TAKES": "0.1"}
    variables |= {"RUN": str(tmp_path / "run"), "DATA": "x"}
    stub(tmp_path / "bin/fairseq-train", "exec sleep 3")
    with subprocess.Popen(["bash", RECIPE], env=os.environ | variables, stderr=subprocess.PIPE, text=True) as script:
        assert script.stderr.readline().startswith("+ fairseq-train")
        script.kill()
        begun = time.monotonic()
        assert script.stderr.read() == ""  # until nobody holds it: the training does not
        assert time.monotonic() - begun < 2.5


def test_steps_of_a_preparation_tell_how_long_they_take():
    done = lib("run sleep 2.5", PROGRESS_SECONDS="1")
    assert done.returncode == 0
    assert done.stderr.splitlines()[:2] == ["+ sleep 2.5 ", "sleep 2.5  1 s so far"]
    assert "so far" not in lib("run sleep 1").stderr


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (59, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (7260, "2 h 1 min")]
)
def test_spans(seconds, said):
    assert progress.span(seconds) == said


@pytest.mark.parametrize(
    ("line", "most", "said"),
    [
        (TRAIN_LOG, "1000", "400/1000 updates, 2.5 per second, 4 min 0 s left"),
        (TRAIN_LOG, "0", "400 updates, 2.5 per second"),  # epochs are its budget
        (TRAIN_LOG, "300", "400/300 updates, 2.5 per second, 0 s left"),
        (TRAIN_LOG.replace("2.5", "0"), "1000", "400/1000 updates"),
        ("nothing logged yet", "1000", "0/1000 updates"),
    ],
)
def test_how_far_a_training_is(tmp_path, line, most, said):
    (tmp_path / "train.log").write_text(f"{line}\n")
    assert progress.updates_done(str(tmp_path), most) == said


# --- two processes on one folder -------------------------------------------------------------------------------------


def test_two_processes_that_make_one_file(tmp_path):
    """The second waits, and finds it made: the first's part is nobody else's to remove."""
    file = tmp_path / "generate.test.txt"
    stub(tmp_path / "bin/decode", f"echo decoded >> {tmp_path}/count; sleep 1.5; echo H-0")
    script = f'set -euo pipefail; source "{ROOT}/scripts/lib.sh"; make_once {file} -- {tmp_path}/bin/decode'
    first = subprocess.Popen(["bash", "-c", script], stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("generate.test.txt.*.part")):
        time.sleep(0.02)
    second = bash("-c", script)
    assert (first.wait(), second.returncode) == (0, 0), second.stderr
    assert second.stderr == f"== another process measures {tmp_path}: waiting for it\n"
    assert (tmp_path / "count").read_text() == "decoded\n"
    assert file.read_text() == "H-0\n"
    assert not list(tmp_path.glob("*.part*"))
    first.stderr.close()


def test_what_outlives_its_script_holds_no_folder(tmp_path):
    """It publishes nothing, so nobody waits for it."""
    file = tmp_path / "generate.test.txt"
    stub(tmp_path / "bin/decode", f"test -f {tmp_path}/again || {{ touch {tmp_path}/again; sleep 4; }}; echo H-0")
    script = f'source "{ROOT}/scripts/lib.sh"; make_once {file} -- {tmp_path}/bin/decode'
    first = subprocess.Popen(["bash", "-c", script], stderr=subprocess.DEVNULL, start_new_session=True)
    while not (tmp_path / "again").exists():
        time.sleep(0.02)
    first.kill()
    first.wait()
    begun = time.monotonic()
    done = bash("-c", script)
    assert done.returncode == 0 and "waiting" not in done.stderr
    assert time.monotonic() - begun < 3 and file.read_text() == "H-0\n"


# --- disks -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def jsonl(tmp_path):
    turns = '[{"speaker": "a", "text": "tea ?"}, {"speaker": "b", "text": "yes ."}]'
    (tmp_path / "my.jsonl").write_text("".join(f'{{"id": "{n}", "turns": {turns}}}\n' for n in range(9)))
    return tmp_path / "my.jsonl"


def the_line(done):
    """The only line that is neither a command nor tells how far it is."""
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith(("+ ", "== ", "learning "))]
    assert line.startswith("error: ") and "; remedy: " in line
    return line


def test_a_folder_that_cannot_be_made(jsonl, tmp_path):
    (tmp_path / "file").touch()
    line = the_line(bash(ROOT / "scripts/prepare.sh", jsonl, tmp_path / "file/data"))
    assert line.startswith(f"error: {tmp_path}/file/data.text: Not a directory; remedy: ")


def test_a_recipe_whose_folder_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    line = the_line(bash(RECIPE, RUN=str(tmp_path / "file/run"), DATA="x"))
    assert line.startswith(f"error: {tmp_path}/file/run: Not a directory; remedy: ")


def test_options_are_written_whole(tmp_path):
    """A disk that is full by the time of the options leaves those of before."""
    options = tmp_path / "data.text/prepare.options"
    script = (
        f'source "{ROOT}/scripts/lib.sh"; write_atomically {options} printf "%s\\n" before; full() {{ echo half; '
        f'echo "head: write error: No space left on device" >&2; return 1; }}; write_atomically {options} full'
    )
    options.parent.mkdir()
    line = the_line(bash("-c", script))
    assert line.startswith(f"error: {options}: No space left on device; remedy: free space")
    assert options.read_text() == "before\n"
    assert [path.name for path in Path(options.parent).iterdir()] == ["prepare.options"]


def test_a_disk_that_is_full_while_samples_are_cut(jsonl, tmp_path):
    """head's words are one line of ours, and the preparation goes on where it was."""
    data = tmp_path / "data"
    stub(tmp_path / "bin/head", 'echo "head: write error: No space left on device" >&2; exit 1')
    stub(tmp_path / "bin/fairseq-preprocess", "exit 0")
    path = f"{tmp_path}/bin{os.pathsep}{PATH}"
    options = {"VOCABULARY": "30", "VALID": "2", "TEST": "2"}
    line = the_line(bash(ROOT / "scripts/prepare.sh", jsonl, data, PATH=path, **options))
    assert line == (
        f"error: {data}.text/spm/samples.src: No space left on device; "
        "remedy: free space, or a folder that you may write to; then start again"
    )
    assert not data.exists() and not list((tmp_path / "data.text").rglob("*.part"))
