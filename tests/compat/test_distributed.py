"""Several processes on CPUs: the same numbers as one process with as much more --update-freq; and where they never meet."""

import json
import shutil
import socket
import sys
import threading
import time

import pytest
import torch
from torch.multiprocessing import ProcessExitedException

from fairseq_latent.compat import error_messages, rendezvous
from fairseq_latent.errors import InputError

from ..helpers import programs

pytestmark = pytest.mark.slow
# 120 pairs in batches of 8 are 15: 8 updates of two batches an epoch, the last of one, where the second worker idles.
# Everything random is on: dropout, K samples or their mean, the random pairs of L_Po-di, shuffled batches.
TWICE = ("--update-freq", "2")
# Adam divides by a gradient's size: without a large epsilon, gradients that are 0 but for rounding move parameters
STEADY = ("--adam-eps", "0.001", "--clip-norm", "25", "--lr-scheduler", "inverse_sqrt", "--warmup-updates", "4")
LOSSES = {
    "best-of-5": ("--criterion", "speculative_elbo", "--k", "5", "--kl-schedule", "cyclical", "--kl-cycle", "epoch"),
    "bag-of-words-and-podi": ("--criterion", "bow_elbo", "--podi-weight", "1", "--podi-form", "auto"),
    "importance-at-a-set-point": (
        *("--criterion", "elbo", "--k", "3", "--sample-reduction", "importance", "--kl-set-point", "0.5"),
        *("--mmd-weight", "5"),
    ),
}
STOP, END = 11, 16  # updates; 11 lies in the second epoch
CLOCK = {"wps", "ups", "wpb", "wall", "train_wall"}


def flags(loss, updates, *more):
    return (*LOSSES[loss], *STEADY, "--max-update", updates, *more)


def free_port() -> int:
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        return port.getsockname()[1]


def together(launch: str, data, folder, *words):
    """Train with two processes: `torchrun`, or fairseq's own spawn."""
    words = (data, *programs.PLUG_IN, "--arch", "t_cvae_tiny", *programs.TINY_TRAINING, "--save-dir", folder, *words)
    if launch == "torchrun":
        runner = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", free_port())
        done = programs.command(*runner, shutil.which("fairseq-train"), *words)
    else:
        address = ("--distributed-init-method", f"tcp://127.0.0.1:{free_port()}")
        done = programs.command("fairseq-train", *words, "--distributed-world-size", "2", *address)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stderr + done.stdout


def logged(text: str) -> list[tuple[str, dict]]:
    """The numbers of a printed log, as `programs.run` collects them."""
    lines = (line.split(" | ", 3) for line in text.splitlines())
    return [(words[2], json.loads(words[3])) for words in lines if len(words) == 4 and words[3].startswith('{"')]


def numbers(log, tag, first, last):
    """All that was logged under `tag` from update `first` to update `last`, without what the clock says."""
    rows = [
        {name.removeprefix(f"{tag}_"): float(value) for name, value in row.items()} for name, row in log if name == tag
    ]
    return [{name: row[name] for name in row.keys() - CLOCK} for row in rows if first <= row["num_updates"] <= last]


def assert_same_numbers(log, expected, first, last):
    """Every logged term of every update and validation."""
    for tag in ("train_inner", "valid"):
        found, wanted = numbers(log, tag, first, last), numbers(expected, tag, first, last)
        assert found and len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            for row in (one, other) if tag == "valid" else ():
                row.pop("bsz")  # sentences a step of all workers
                row.pop("best_loss", None)  # of all validations, with that of the stop
            assert one == pytest.approx(other, rel=1e-3, abs=1e-3)


def assert_same_parameters(one, other):
    first, second = (programs.parameters(folder / "checkpoint_last.pt") for folder in (one, other))
    torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-5)


@pytest.fixture(scope="module")
def alone(data_bin, tmp_path_factory):
    """One process with --update-freq 2, unbroken: its folder and numbers, for each loss."""
    runs = {}
    for loss in LOSSES:
        folder = tmp_path_factory.mktemp("alone")
        runs[loss] = folder, programs.fit(data_bin, folder, *TWICE, *flags(loss, END)).log
    return runs


@pytest.fixture(scope="module")
def stopped(data_bin, tmp_path_factory):
    """Two processes by torchrun with torch's DistributedDataParallel, stopped in the second epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    log = together("torchrun", data_bin, folder, *flags("best-of-5", STOP, "--ddp-backend", "pytorch_ddp"))
    return folder, logged(log)


def test_two_processes_are_one_with_twice_the_update_freq(alone, stopped):
    assert_same_numbers(stopped[1], alone["best-of-5"][1], 1, STOP - 1)
    assert {"loss", "nll", "kl", "kl_weight", "gnorm"} <= numbers(stopped[1], "train_inner", 1, 1)[0].keys()


def test_two_processes_go_on(alone, stopped, data_bin, tmp_path):
    folder = shutil.copytree(stopped[0], tmp_path / "resumed")
    log = together("spawn", data_bin, folder, *flags("best-of-5", END, "--ddp-backend", "legacy_ddp"))
    assert_same_numbers(logged(log), alone["best-of-5"][1], STOP + 1, END)
    assert_same_parameters(folder, alone["best-of-5"][0])


def test_one_process_goes_on_with_what_two_began(alone, stopped, data_bin, tmp_path):
    folder = shutil.copytree(stopped[0], tmp_path / "resumed")
    log = programs.fit(data_bin, folder, *TWICE, *flags("best-of-5", END)).log
    assert_same_numbers(log, alone["best-of-5"][1], STOP + 1, END)
    assert_same_parameters(folder, alone["best-of-5"][0])


def test_two_processes_go_on_with_what_one_began(alone, data_bin, tmp_path):
    """Another loss: a head of its own, and random pairs."""
    loss = "bag-of-words-and-podi"
    programs.fit(data_bin, tmp_path, *TWICE, *flags(loss, 3))
    log = logged(together("torchrun", data_bin, tmp_path, *flags(loss, END, "--ddp-backend", "pytorch_ddp")))
    assert_same_numbers(log, alone[loss][1], 4, END)
    assert {"bow", "podi", "podi_kl"} <= numbers(log, "train_inner", 4, 4)[0].keys()
    assert_same_parameters(tmp_path, alone[loss][0])


def test_two_processes_steer_as_one(alone, data_bin, tmp_path):
    """The controller sees the KL of all workers, and goes on where one process stopped."""
    loss = "importance-at-a-set-point"
    programs.fit(data_bin, tmp_path, *TWICE, *flags(loss, 3))
    log = logged(together("torchrun", data_bin, tmp_path, *flags(loss, END, "--ddp-backend", "pytorch_ddp")))
    assert_same_numbers(log, alone[loss][1], 4, END)
    assert len({row["kl_weight"] for row in numbers(log, "train_inner", 4, END)}) > 2
    assert_same_parameters(tmp_path, alone[loss][0])


# --- processes that do not meet --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method, where", [
    ("tcp://10.0.0.1:29500", ("10.0.0.1", 29500)), ("tcp://[::1]:80", ("::1", 80)), ("file:///x/store", None),
])  # fmt: skip
def test_an_address_is_read_as_torch_reads_it(method, where):
    assert rendezvous.address(method) == where


def test_the_environments_address_is_read(monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "node7")
    monkeypatch.setenv("MASTER_PORT", "29400")
    assert rendezvous.address("env://") == ("node7", 29400)


@pytest.mark.parametrize("method", ["tcp://host", "tcp://host:x", "tcp://host:99999", "tcp://:29500", "tcp://"])
def test_what_is_no_address_is_refused(method):
    with pytest.raises(InputError, match="is no rendezvous address; remedy: "):
        rendezvous.address(method)


@pytest.mark.parametrize("value", ["0", "-1", "soon", "nan"])
def test_what_is_no_time_limit_is_refused(monkeypatch, value):
    monkeypatch.setenv(rendezvous.VARIABLE, value)
    with pytest.raises(InputError, match=f"{rendezvous.VARIABLE}={value} is no number of seconds; remedy: "):
        rendezvous.limit()


def test_a_host_without_a_name_server_entry_is_refused_at_once():
    begin = time.monotonic()
    for rank in (0, 1):
        with pytest.raises(InputError, match=rf"rank {rank} cannot reach the rendezvous nowhere\.invalid:29500: "):
            rendezvous.reach("nowhere.invalid", 29500, rank, 1.0)
    assert time.monotonic() - begin < 30


def test_a_closed_port_is_tried_until_the_time_is_over():
    begin, port = time.monotonic(), free_port()
    with pytest.raises(InputError, match=rf"rank 1 cannot reach the rendezvous 127\.0\.0\.1:{port}: .*refused"):
        rendezvous.reach("127.0.0.1", port, 1, 1.5)
    assert 0.9 < time.monotonic() - begin < 10


def test_a_port_that_opens_late_is_found():
    port = free_port()

    def open_late():
        time.sleep(1)
        with socket.create_server(("127.0.0.1", port)) as server:
            server.accept()

    rank_zero = threading.Thread(target=open_late)
    rank_zero.start()
    rendezvous.reach("127.0.0.1", port, 1, 20)
    rank_zero.join()


def test_the_limit_is_for_meeting_alone(monkeypatch):
    monkeypatch.setenv(rendezvous.VARIABLE, "0.5")
    with rendezvous.deadline("file:///x/store", 0, 2):
        pass
    time.sleep(1)  # the watch would have ended this process


@pytest.mark.parametrize("words, said", [
    (("--distributed-rank", "1", "--distributed-no-spawn"), "rank 1 cannot reach the rendezvous 127.0.0.1:{port}: "),
    (("--distributed-rank", "0", "--distributed-no-spawn"), "rank 0 met no 2 processes at 127.0.0.1:{port} within 2 s; "),
], ids=["no-rank-0", "no-rank-1"])  # fmt: skip
def test_training_without_the_others_ends_with_one_line(data_bin, tmp_path, words, said):
    port = free_port()
    words = (*words, "--distributed-world-size", "2", "--distributed-init-method", f"tcp://127.0.0.1:{port}")
    kind = (*programs.PLUG_IN, "--arch", "t_cvae_tiny", *programs.TINY_TRAINING, "--save-dir", tmp_path)
    done = programs.command("fairseq-train", data_bin, *kind, *words, **{rendezvous.VARIABLE: "2"})
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: " + said.format(port=port)) and "; remedy: " in line
    assert "Traceback" not in done.stderr


KILLED = """
import os, signal
from fairseq.trainer import Trainer
from fairseq_cli import train

def dying_step(self, *args, **kwargs):
    if self.get_num_updates() == 3 and self.data_parallel_rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *args, **kwargs)

step, Trainer.train_step = Trainer.train_step, dying_step
if __name__ == "__main__":
    train.cli_main()
"""


def test_a_process_that_dies_ends_the_others_with_one_line(data_bin, tmp_path):
    """Spawned processes run the file's top level again, so rank 1 dies in its fourth update."""
    program = tmp_path / "killed.py"
    program.write_text(KILLED)
    kind = (*programs.PLUG_IN, "--arch", "t_cvae_tiny", "--criterion", "elbo", *programs.TINY_TRAINING)
    words = (data_bin, *kind, "--distributed-world-size", "2", "--save-dir", tmp_path / "run")
    done = programs.command(sys.executable, program, *words)
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "ended" in line and line.endswith("goes on from the last checkpoint")


@pytest.mark.parametrize("message, said", [
    ("The server socket has failed to listen on any local network address. port: 29500, useIpv6: false, code: -98, name: "
     "EADDRINUSE, message: address already in use", "port 29500 is in use on this machine; remedy: "),
    ("The client socket has timed out after 6000ms while trying to connect to (node1, 29500).", "not answered by rank 0"),
    ("Ping failed, invalid value returned from server. Expected: 9564, Got: 1347703880", "not answered by rank 0"),
    ("process 1 terminated with signal SIGKILL", "training process 1 was ended by SIGKILL"),
    ("[../third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:3",
     "another training process ended"),
    ("DataLoader worker (pid(s) 12, 13) exited unexpectedly", "a process that loads data was ended"),
    ("encoded data size (18333) exceeds max_size (16384)", "--all-gather-list-size 65536"),
])  # fmt: skip
def test_what_torch_says_is_one_line_with_a_remedy(message, said):
    line = error_messages.translate(RuntimeError(message))
    assert said in line and "remedy: " in line


def test_a_spawned_process_that_has_said_why_is_not_reported_again(capsys, monkeypatch):
    monkeypatch.setattr(error_messages.Command, "ours", True)
    error = ProcessExitedException("process 0 terminated with exit code 2", 0, 7, 2)
    with pytest.raises(SystemExit) as stop:
        error_messages.one_line_hook(None)(type(error), error, None)
    assert stop.value.code == 2
    assert capsys.readouterr().err == ""
