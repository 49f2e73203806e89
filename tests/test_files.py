"""Files are whole or not there, whatever stops the writer."""

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from fairseq_latent.errors import InputError
from fairseq_latent.files import written_together, written_whole


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("mode", "content"), [("w", "a\nb\u2028é\n"), ("wb", b"a\r\n\xff")])
def test_written(tmp_path, mode, content):
    path = tmp_path / "new" / "file"
    with written_whole(path, mode) as file:
        file.write(content)
        assert not path.exists()
    assert path.read_bytes() == (content if mode == "wb" else content.encode())
    assert names(path.parent) == ["file"]


def test_rights_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with written_whole(tmp_path / "file") as file:
            file.write("x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), ValueError(), KeyboardInterrupt()])
def test_any_error_leaves_the_old_file(tmp_path, error):
    (tmp_path / "file").write_text("old")
    with pytest.raises(type(error)), written_whole(tmp_path / "file") as file:
        file.write("new")
        raise error
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_files_that_belong_together_change_together(tmp_path, monkeypatch):
    for name in "abc":
        (tmp_path / name).write_text("old")
    synced = iter([None, None, OSError(errno.ENOSPC, "No space left on device")])

    def full_at_the_third(descriptor):
        if (error := next(synced)) is not None:
            raise error

    monkeypatch.setattr(os, "fsync", full_at_the_third)
    with pytest.raises(OSError, match="No space left"), written_together(tmp_path / name for name in "abc") as files:
        for file in files:
            file.write("new")
    assert [(tmp_path / name).read_text() for name in "abc"] == ["old"] * 3
    assert names(tmp_path) == ["a", "b", "c"]


def test_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError, match="No space") as caught, written_whole(tmp_path / "file"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "file")


def test_a_device_or_folder_is_never_replaced(tmp_path):
    for path in ("/dev/null", tmp_path):
        with pytest.raises(InputError, match="not a regular file; remedy"), written_whole(path) as file:
            file.write("x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "store" / "file")
    with written_whole(tmp_path / "link") as file:
        file.write("x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "store" / "file").read_text() == "x"


WAITS = """
import sys, time
from fairseq_latent.errors import run
from fairseq_latent.files import written_whole
def main():
    with written_whole(sys.argv[1]) as file:
        file.write("half")
        print("writing", flush=True)
        time.sleep(60)
sys.exit(run(main))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_command_leaves_nothing(tmp_path, number, code):
    arguments = [sys.executable, "-c", WAITS, str(tmp_path / "file")]
    process = subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(
            number, signal.SIG_DFL
        ),  # a suite in the background inherits an ignored SIGINT
    )
    assert process.stdout.readline() == "writing\n"
    time.sleep(0.1)
    process.send_signal(number)
    _, complaint = process.communicate(timeout=20)
    assert process.returncode == code
    assert "Traceback" not in complaint
    assert names(tmp_path) == []


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path):
    with_others = [".file.0123abcd.part.gz", ".file.txt", ".other.0123abcd.part"]
    for name in with_others:
        (tmp_path / name).write_text("of somebody else")
    process = subprocess.Popen([sys.executable, "-c", WAITS, str(tmp_path / "file")], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    with written_whole(tmp_path / "file") as file:
        file.write("whole")
    assert len(names(tmp_path)) == 5  # the part of a writer that lives is no remnant
    process.kill()
    process.communicate()
    with written_whole(tmp_path / "file") as file:
        file.write("again")
    assert names(tmp_path) == sorted([*with_others, "file"])
    assert (tmp_path / "file").read_text() == "again"


def test_a_part_taken_for_abandoned_is_opened_again(tmp_path, monkeypatch):
    taken, flock = [], fcntl.flock

    def removed_before_the_first_lock(file, how):
        if not taken:
            taken.append(file.name)
            os.unlink(file.name)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", removed_before_the_first_lock)
    with written_whole(tmp_path / "file") as file:
        file.write("x")
    assert taken
    assert (tmp_path / "file").read_text() == "x"
    assert names(tmp_path) == ["file"]
