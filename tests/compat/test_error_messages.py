"""Bad input: one line with cause and remedy, exit code 2, nothing half-written, earlier checkpoints intact."""

import contextlib
import shutil
import sys

import pytest
import torch
from fairseq import checkpoint_utils

from ..helpers import programs


@pytest.fixture(scope="module")
def checkpoint(data_bin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    programs.fit(data_bin, folder, "--max-update", "2")
    return folder / "checkpoint_last.pt"


def copied(folder, target):
    shutil.copytree(folder, target)
    return target


# --- data ------------------------------------------------------------------------------------------------------------


def test_line_counts_that_differ(text, tmp_path, binarise, refused):
    folder = copied(text, tmp_path / "text")
    with open(folder / "train.tgt", "a", encoding="utf-8") as file:
        file.write("one more line\n")
    data = binarise(folder)
    line = refused(programs.fit, data, tmp_path / "run")
    assert "split train" in line and "same number" in line
    assert not list((tmp_path / "run").glob("*.pt"))


def test_an_empty_file(text, tmp_path, binarise, refused):
    folder = copied(text, tmp_path / "text")
    for side in ("src", "tgt"):
        (folder / f"valid.{side}").write_text("", encoding="utf-8")
    assert "split valid is empty" in refused(programs.fit, binarise(folder), tmp_path / "run")


def test_no_data(tmp_path, refused):
    assert str(tmp_path) in refused(programs.fit, tmp_path, tmp_path / "run")
    assert "nowhere" in refused(programs.fit, tmp_path / "nowhere", tmp_path / "run")


def test_a_missing_dictionary(data_bin, tmp_path, refused):
    data = copied(data_bin, tmp_path / "data")
    (data / "dict.tgt.txt").unlink()
    assert "dict.tgt.txt" in refused(programs.fit, data, tmp_path / "run")


def test_an_unknown_dictionary(text, tmp_path, binarise, refused):
    """Sides with dictionaries of their own, which this model does not take."""
    data = binarise(text)
    (data / "dict.tgt.txt").write_text("elsewhere 1\n", encoding="utf-8")
    assert "--joined-dictionary" in refused(programs.fit, data, tmp_path / "run")


@pytest.fixture(scope="module")
def other_words(data_bin, tmp_path_factory):
    """The same data with a dictionary of the same size in another order."""
    data = copied(data_bin, tmp_path_factory.mktemp("other") / "bin")
    for side in ("src", "tgt"):
        path = data / f"dict.{side}.txt"
        path.write_text("".join(reversed(path.read_text(encoding="utf-8").splitlines(keepends=True))), encoding="utf-8")
    return data


def test_a_checkpoint_of_another_dictionary_of_the_same_size(checkpoint, other_words, refused):
    line = refused(programs.run, "fairseq-generate", other_words, *programs.PLUG_IN, "--path", checkpoint, "--cpu")
    assert "another dictionary" in line


def test_a_training_does_not_go_on_with_another_dictionary(checkpoint, other_words, tmp_path, refused):
    shutil.copy(checkpoint, tmp_path)
    assert "another dictionary" in refused(programs.fit, other_words, tmp_path, "--max-update", "4")


def test_decoding_with_a_task_that_seeds_no_latents(data_bin, checkpoint, refused):
    plain = ("--user-dir", programs.PLUGIN, "--task", "translation", "-s", "src", "-t", "tgt")
    line = refused(programs.run, "fairseq-generate", data_bin, *plain, "--path", checkpoint, "--cpu")
    assert "--task dialogue" in line


def test_a_criterion_that_shows_the_latent_no_response(data_bin, tmp_path, refused):
    flags = ("--arch", "t_cvae_tiny", "--criterion", "cross_entropy", "--save-dir", tmp_path)
    line = refused(programs.run, "fairseq-train", data_bin, *programs.PLUG_IN, *programs.TINY_TRAINING, *flags)
    assert "--criterion elbo" in line


def test_data_that_changed_since_the_checkpoint(text, tmp_path, binarise, data_bin, refused):
    programs.fit(data_bin, tmp_path / "run", "--max-update", "25")  # ten updates into the second epoch
    folder = copied(text, tmp_path / "text")
    for side in ("src", "tgt"):
        lines = (folder / f"train.{side}").read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / f"train.{side}").write_text("".join(lines[:40]), encoding="utf-8")
    dictionary = ("--srcdict", data_bin / "dict.src.txt")
    line = refused(programs.fit, binarise(folder, *dictionary), tmp_path / "run", "--max-update", "27")
    assert "the data changed" in line


def test_a_dictionary_that_is_none(data_bin, tmp_path, refused):
    data = copied(data_bin, tmp_path / "data")
    (data / "dict.src.txt").write_text("no counts here at all\n", encoding="utf-8")
    assert "dict" in refused(programs.fit, data, tmp_path / "run")


def test_a_missing_split(data_bin, checkpoint, refused):
    assert "`other`" in refused(programs.decode, data_bin, checkpoint, "--gen-subset", "other")


def test_a_line_longer_than_the_models_positions(data_bin, checkpoint, tmp_path, refused):
    flags = ("--max-source-positions", "5", "--max-target-positions", "5")
    assert "--max-source-positions" in refused(programs.fit, data_bin, tmp_path, *flags)
    long = "tea " * 1100 + "\n"
    common = (data_bin, *programs.PLUG_IN, "--path", checkpoint, "--cpu")
    assert "(1101, 0) tokens" in refused(programs.run, "fairseq-interactive", *common, stdin=long)


def test_a_line_longer_than_the_batch(data_bin, tmp_path, refused):
    flags = ("--batch-size", "8", "--max-tokens", "5")
    assert "--max-tokens" in refused(programs.fit, data_bin, tmp_path / "run", *flags)


# --- flags -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags, cause", [
    (("--k", "0"), "--k 0"),
    (("--k", "1000000000"), "--k 1000000000 is out of range; remedy: from 1 to 10000"),
    (("--lr", "-1"), "--lr -1.0 is out of range; remedy: 0 or more"),
    (("--lr", "1,1e999"), "--lr inf"),
    (("--dropout", "nan"), "--dropout nan"),
    (("--dropout", "2"), "--dropout 2.0 is out of range; remedy: from 0 to 1, without 1"),
    (("--clip-norm", "nan"), "--clip-norm nan"),
    (("--batch-size", "0"), "--batch-size 0"),
    (("--batch-size", str(10**30)), "remedy: 1 or more, below 2**63"),
    (("--latent-dim", "-1"), "--latent-dim -1"),
    (("--embed-dim", "0"), "--embed-dim 0"),
    (("--heads", "0"), "--heads 0"),
    (("--seed", "-1"), "--seed -1"),
    (("--seed", str(2**64)), "--seed 18446744073709551616"),
    (("--update-freq", "2,0"), "--update-freq 0"),
    (("--adam-betas", "garbage"), "--adam-betas garbage is out of range; remedy: 2 numbers between commas"),
    (("--adam-betas", "(0.9, 2)"), "--adam-betas (0.9, 2)"),
    (("--log-interval", "0"), "--log-interval 0"),
    (("--num-batch-buckets", "3"), "--num-batch-buckets gives a TPU"),
    (("--max-tokens", "1"), "--max-tokens 1: the shortest example has"),
    (("--lr", "1e6"), "training diverged"),
    (("--kl-weight", "-1"), "--kl-weight -1.0"),
    (("--kl-schedule", "cyclical"), "--kl-cycle UPDATES"),
    (("--kl-warmup", "100"), "--kl-schedule linear"),
    (("--latent-samples", "0"), "--latent-samples 0"),
    (("--encoder-embed-path", "nowhere.txt"), "nowhere.txt: no such file"),
    (("--amp",), "--amp needs a GPU"),
    (("--embed-dim", "15"), "--heads"),
    (("--best-checkpoint-metric", "bleurt"), "--best-checkpoint-metric"),
])  # fmt: skip
def test_wrong_flags(data_bin, tmp_path, refused, flags, cause):
    assert cause in refused(programs.fit, data_bin, tmp_path, *flags)
    assert not list(tmp_path.glob("checkpoint*.pt*"))


def test_word_vectors_of_another_width(data_bin, tmp_path, refused):
    vectors = tmp_path / "cbow.txt"
    vectors.write_text("1 3\ntea 0.1 0.2 0.3\n", encoding="utf-8")
    line = refused(programs.fit, data_bin, tmp_path / "run", "--encoder-embed-path", vectors)
    assert "vectors have 3 numbers, --embed-dim is 16" in line


# --- checkpoints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [("--embed-dim", "32"), ("--layers", "1"), ("--no-share-layers",)])
def test_a_checkpoint_of_another_architecture(data_bin, checkpoint, tmp_path, refused, flags):
    before = shutil.copy(checkpoint, tmp_path)
    line = refused(programs.fit, data_bin, tmp_path, *flags, "--max-update", "4")
    assert "checkpoint" in line and "another architecture" in line
    if flags[0] == "--embed-dim":
        assert "size mismatch for encoder." in line and "more; FAIRSEQ_LATENT_TRACEBACK=1 lists all" in line
    assert checkpoint_utils.load_checkpoint_to_cpu(before)["model"]


@pytest.mark.parametrize("criterion, flags", [("bow_elbo", ()), ("elbo", ("--bow-weight", "1")), ("spacefusion", ())])
def test_a_checkpoint_of_another_loss(data_bin, checkpoint, tmp_path, refused, criterion, flags):
    """The optimiser's state belongs to other parameters."""
    shutil.copy(checkpoint, tmp_path)
    line = refused(programs.fit, data_bin, tmp_path, *flags, "--max-update", "4", criterion=criterion)
    assert "--finetune-from-model" in line or "--reset-optimizer" in line


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_truncated_checkpoint(data_bin, checkpoint, tmp_path, refused, share):
    whole = checkpoint.read_bytes()
    broken = tmp_path / "checkpoint_last.pt"
    broken.write_bytes(whole[: int(share * len(whole))])
    assert "truncated" in refused(programs.fit, data_bin, tmp_path, "--max-update", "4")
    assert "checkpoint_last.pt: truncated" in refused(programs.decode, data_bin, broken)
    assert broken.stat().st_size == int(share * len(whole))


def test_a_checkpoint_that_would_run_code(data_bin, checkpoint, tmp_path, refused):
    state = torch.load(checkpoint, weights_only=True)
    state["args"] = contextlib.suppress(OSError)
    torch.save(state, tmp_path / "evil.pt")
    assert "evil.pt: refused" in refused(programs.decode, data_bin, tmp_path / "evil.pt")


def test_a_missing_checkpoint(data_bin, tmp_path, refused):
    assert "nowhere.pt" in refused(programs.decode, data_bin, tmp_path / "nowhere.pt")


# --- real commands ---------------------------------------------------------------------------------------------------

SMALL_DISK = """
import resource, sys
from fairseq_cli import train
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
train.cli_main()
"""


def one_line(done) -> str:
    """The command's only error line; nothing that looks like a traceback beside it."""
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "Traceback" not in done.stderr + done.stdout, done.stderr
    return lines[0]


def test_a_wrong_flag_ends_the_command(data_bin, tmp_path):
    kind = ("--arch", "t_cvae_tiny", "--criterion", "speculative_elbo", "--k", "0", "--save-dir", tmp_path)
    done = programs.command("fairseq-train", data_bin, *programs.PLUG_IN, *kind, *programs.TINY_TRAINING)
    assert "--k 0" in one_line(done)


def test_a_full_disk_ends_the_command_and_leaves_the_checkpoint(data_bin, checkpoint, tmp_path):
    """A tiny model's checkpoint is larger than 100 kB, the limit on a file's size here."""
    shutil.copy(checkpoint, tmp_path)
    before = checkpoint.read_bytes()
    assert len(before) > 100_000
    kind = ("--arch", "t_cvae_tiny", "--criterion", "elbo", "--save-dir", tmp_path, "--max-update", "4")
    flags = (*programs.PLUG_IN, *programs.TINY_TRAINING, *kind)
    line = one_line(programs.command(sys.executable, "-c", SMALL_DISK, data_bin, *flags))
    assert "not written" in line and "remedy: free space" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint_last.pt", "lock"]
    assert (tmp_path / "checkpoint_last.pt").read_bytes() == before
    printed = programs.fit(data_bin, tmp_path, "--max-update", "4")  # with space again it goes on
    assert [numbers["num_updates"] for numbers in printed.numbers("train_inner")] == [3, 4]


def test_a_mistake_in_a_spawned_process_is_one_line_too(data_bin, tmp_path):
    kind = ("--arch", "t_cvae_tiny", "--criterion", "elbo", "--kl-weight", "-1", "--save-dir", tmp_path)
    flags = (*programs.PLUG_IN, *programs.TINY_TRAINING, *kind, "--distributed-world-size", "2")
    assert "--kl-weight -1.0" in one_line(programs.command("fairseq-train", data_bin, *flags))
