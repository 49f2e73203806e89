"""Every architecture from build to chat through the real programs; stopping, killing and going on; shards."""

import json
import sys

import pytest
import torch
from fairseq import checkpoint_utils

from fairseq_latent.models import latent_model

from ..helpers import programs

SHORT = ("--beam", "2", "--lenpen", "1.2", "--max-len-a", "0", "--max-len-b", "8")
# everything whose state must survive a stop: dropout, K samples, a schedule, pairs, Adam and its learning rate
BUSY = (
    *("--kl-schedule", "cyclical", "--kl-cycle", "epoch", "--podi-weight", "1", "--podi-form", "auto"),
    *("--bow-weight", "0.5", "--label-smoothing", "0.1", "--lr-scheduler", "inverse_sqrt", "--warmup-updates", "20"),
    *("--max-update", "0", "--clip-norm", "25", "--criterion", "speculative_elbo", "--k", "3"),
)


def state(checkpoint):
    return checkpoint_utils.load_checkpoint_to_cpu(str(checkpoint))


def updates(checkpoint) -> int:
    return state(checkpoint)["optimizer_history"][-1]["num_updates"]


# --- the real command lines ------------------------------------------------------------------------------------------


def in_this_process(program, *words, stdin=""):
    printed = programs.run(program, *words, "--num-workers", "0", stdin=stdin)
    return printed.text, [dict(values) for tag, values in printed.log if tag == "valid"]


def validated_by_a_command(program, *words, stdin=""):
    """fairseq-validate as a command of its own; test_readme.py runs the other programs so."""
    if program != "fairseq-validate":
        return in_this_process(program, *words, stdin=stdin)
    done = programs.command(program, *words)
    assert done.returncode == 0, done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    return done.stdout, [json.loads(line.split(" | ")[-1]) for line in lines if '"valid_elbo_ppl"' in line]


@pytest.mark.slow
@pytest.mark.parametrize("arch, criterion, run", [
    ("t_cvae_tiny", "speculative_elbo", validated_by_a_command),
    ("t_spacefusion_tiny", "spacefusion", in_this_process),
])  # fmt: skip
def test_from_build_to_chat(data_bin, tmp_path, arch, criterion, run):
    """Train five updates, validate, generate, chat: each a command of its own."""
    best = tmp_path / "checkpoint_best.pt"
    kind = (*programs.PLUG_IN, "--arch", arch, "--criterion", criterion, "--save-dir", tmp_path)
    run("fairseq-train", data_bin, *kind, *programs.TINY_TRAINING)
    assert updates(tmp_path / "checkpoint_last.pt") == 5

    common = (data_bin, *programs.PLUG_IN, "--path", best, "--cpu")
    _, (numbers,) = run("fairseq-validate", *common, "--batch-size", "8", "--log-format", "json")
    assert {"valid_loss", "valid_kl", "valid_au", "valid_mi", "valid_rec_ppl"} <= numbers.keys()

    generated, _ = run("fairseq-generate", *common, *SHORT, "--latent-samples", "2")
    assert sum(line.startswith("H-") for line in generated.splitlines()) == 2 * 21

    chatted, _ = run("fairseq-interactive", *common, *SHORT, stdin="do you like tea\nhello\n")
    assert sum(line.startswith("H-") for line in chatted.splitlines()) == 2


# --- accumulation ----------------------------------------------------------------------------------------------------


def test_two_halves_are_one_batch(text, tmp_path, binarise, monkeypatch):
    """--update-freq 2 against a double batch: one update on the same 16 pairs, without dropout and noise."""
    monkeypatch.setattr(latent_model, "choose_noise", lambda posterior, *_: (torch.zeros_like(posterior.mean), None))
    short = tmp_path / "text"
    short.mkdir()
    for split in ("train", "valid", "test"):
        for side in ("src", "tgt"):
            lines = (text / f"{split}.{side}").read_text(encoding="utf-8").splitlines()[:16]
            (short / f"{split}.{side}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    data = binarise(short)
    quiet = (
        "--dropout",
        "0",
        "--attention-dropout",
        "0",
        "--activation-dropout",
        "0",
        "--optimizer",
        "sgd",
        "--lr",
        "0.1",
    )
    runs = {"double": ("--batch-size", "16"), "halves": ("--batch-size", "8", "--update-freq", "2")}
    numbers = {
        name: programs.fit(data, tmp_path / name, *quiet, *flags, "--max-update", "1").numbers("train_inner")[0]
        for name, flags in runs.items()
    }
    for name in ("loss", "nll", "kl", "kl_weight", "rec_ppl", "elbo_ppl", "bsz", "gnorm"):
        assert numbers["halves"][name] == pytest.approx(numbers["double"][name], rel=1e-3), name
    one, other = (programs.parameters(tmp_path / name / "checkpoint_last.pt") for name in runs)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


# --- stopping and going on -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def uninterrupted(data_bin, tmp_path_factory):
    """Four epochs in one go: 60 updates."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    printed = programs.fit(data_bin, folder, *BUSY, "--max-epoch", "4")
    assert updates(folder / "checkpoint_last.pt") == 60
    return folder / "checkpoint_last.pt", printed


def losses(printed, first):
    return [(n["num_updates"], n["loss"]) for n in printed.numbers("train_inner") if n["num_updates"] > first]


@pytest.mark.parametrize("stop", [
    ("--max-epoch", "2"),
    ("--max-epoch", "4", "--max-update", "20"),  # in the middle of the second epoch
    ("--max-epoch", "4", "--max-update", "30", "--save-interval-updates", "10", "--keep-interval-updates", "1"),
], ids=["after-an-epoch", "mid-epoch", "by-updates"])  # fmt: skip
def test_a_resumed_run_is_the_uninterrupted_run(data_bin, tmp_path, uninterrupted, stop):
    programs.fit(data_bin, tmp_path, *BUSY, *stop)
    stopped = updates(tmp_path / "checkpoint_last.pt")
    assert 0 < stopped < 60
    resumed = programs.fit(data_bin, tmp_path, *BUSY, "--max-epoch", "4")
    assert losses(resumed, 0) == losses(uninterrupted[1], stopped)
    programs.assert_same_parameters(tmp_path / "checkpoint_last.pt", uninterrupted[0])


KILLED = """
import os, signal, sys, torch
from fairseq.trainer import Trainer
from fairseq_cli import train
step, save = Trainer.train_step, torch.save

def dying_step(self, *args, **kwargs):
    if self.get_num_updates() == {update}:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *args, **kwargs)

def dying_save(state, file, *args, **kwargs):
    dying_save.calls += 1
    if dying_save.calls == {save}:
        file.write(b"half of a checkpoint")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    return save(state, file, *args, **kwargs)

dying_save.calls = 0
Trainer.train_step, torch.save = dying_step, dying_save
train.cli_main()
"""


@pytest.mark.parametrize("update, save, kept", [(23, -1, 21), (-1, 4, 15)], ids=["training", "writing"])
def test_a_killed_run_goes_on(data_bin, tmp_path, uninterrupted, update, save, kept):
    """SIGKILL at update 23, and in the middle of the fourth checkpoint (7, 14, end of epoch at 15, 21, …)."""
    code = KILLED.format(update=update, save=save)
    kind = ("--arch", "t_cvae_tiny", "--save-dir", tmp_path, "--save-interval-updates", "7")
    flags = (*programs.PLUG_IN, *kind, *programs.TINY_TRAINING, *BUSY, "--max-epoch", "4")
    done = programs.command(sys.executable, "-c", code, data_bin, *flags)
    assert done.returncode == -9, done.stderr
    for path in tmp_path.glob("*.pt"):
        assert state(path)["model"]  # whatever has a checkpoint's name is one
    assert updates(tmp_path / "checkpoint_last.pt") == kept
    resumed = programs.fit(data_bin, tmp_path, "--save-interval-updates", "7", *BUSY, "--max-epoch", "4")
    assert losses(resumed, 0) == losses(uninterrupted[1], kept)
    programs.assert_same_parameters(tmp_path / "checkpoint_last.pt", uninterrupted[0])
    assert not list(tmp_path.glob("*.tmp")), "half-written files are overwritten by the next attempt"


def test_a_bag_of_words_can_be_added_to_a_trained_model(data_bin, tmp_path):
    programs.fit(data_bin, tmp_path / "plain")
    start = ("--finetune-from-model", tmp_path / "plain/checkpoint_last.pt")
    printed = programs.fit(data_bin, tmp_path / "bow", *start, criterion="bow_elbo")
    assert printed.numbers("train_inner")[-1]["bow"] > 0


def test_a_bag_of_words_can_be_left_out_again(data_bin, tmp_path):
    programs.fit(data_bin, tmp_path / "bow", criterion="bow_elbo")
    start = ("--finetune-from-model", tmp_path / "bow/checkpoint_last.pt")
    printed = programs.fit(data_bin, tmp_path / "plain", *start)
    assert "bow" not in printed.numbers("train_inner")[-1]
    programs.decode(data_bin, tmp_path / "plain/checkpoint_last.pt", *SHORT)


# --- validation, shards ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arch, criterion, flags", [
    ("t_cvae_tiny", "speculative_elbo", ("--label-smoothing", "0.1", "--bow-weight", "1")),
    ("t_cvae_tiny", "podi_elbo", ("--podi-form", "literal", "--kl-schedule", "linear", "--kl-warmup", "100")),
    ("t_spacefusion_tiny", "spacefusion", ()),
])  # fmt: skip
def test_validation_afterwards_is_validation_in_training(data_bin, tmp_path, arch, criterion, flags):
    trained = programs.fit(data_bin, tmp_path, *flags, arch=arch, criterion=criterion).numbers("valid")[-1]
    afterwards = programs.run(
        "fairseq-validate", data_bin, *programs.PLUG_IN, "--path", tmp_path / "checkpoint_last.pt", "--cpu",
        "--batch-size", "8", "--num-workers", "0", "--log-format", "json", "--required-batch-size-multiple", "8",
    ).numbers("valid")[-1]  # fmt: skip
    running = {"epoch", "wps", "wpb", "bsz", "num_updates", "best_loss"}
    found = {name: afterwards[name] for name in afterwards.keys() - running}
    # SpaceFusion's bound, e to the power of 50 here, shows the last bit of a float
    assert {name: trained[name] for name in trained.keys() - running} == pytest.approx(found, rel=1e-5)


@pytest.fixture(scope="module")
def shards(text, data_bin, tmp_path_factory, binarise):
    """The training set in three parts of 32, 40 and 48 pairs, one dictionary; `valid` lies in the first."""
    folders, begin = [], 0
    for number, count in enumerate((32, 40, 48)):
        part = tmp_path_factory.mktemp(f"shard{number}")
        for side in ("src", "tgt"):
            for split in ("train", "valid", "test"):
                lines = (text / f"{split}.{side}").read_text(encoding="utf-8").splitlines()
                lines = lines[begin : begin + count] if split == "train" else lines
                (part / f"{split}.{side}").write_text("\n".join(lines) + "\n", encoding="utf-8")
        folders.append(str(binarise(part, "--srcdict", data_bin / "dict.src.txt")))
        begin += count
    return ":".join(folders)


def test_sharded_data_is_one_shard_an_epoch_and_resumes(shards, tmp_path):
    """4, 5 and 6 batches of 8."""
    busy = (*BUSY, "--kl-cycle", "7")
    whole = programs.fit(shards, tmp_path / "whole", *busy, "--max-epoch", "4")
    numbers = whole.numbers("train_inner")
    assert [n["epoch"] for n in numbers] == [1] * 4 + [2] * 5 + [3] * 6 + [4] * 4
    programs.fit(shards, tmp_path / "parts", *busy, "--max-epoch", "2")
    resumed = programs.fit(shards, tmp_path / "parts", *busy, "--max-epoch", "4")
    assert losses(resumed, 0) == losses(whole, 9)
    programs.assert_same_parameters(tmp_path / "whole/checkpoint_last.pt", tmp_path / "parts/checkpoint_last.pt")
