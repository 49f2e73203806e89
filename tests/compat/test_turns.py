"""When fairseq-train must not train: a checkpoint that is not there, nothing left to do, another training in the folder."""

import errno
import fcntl
import hashlib
import logging
import multiprocessing
import shutil

import pytest
import torch
from fairseq.dataclass.configs import FairseqConfig
from omegaconf import OmegaConf

from fairseq_latent.compat import turns
from fairseq_latent.errors import InputError

from ..helpers import programs
from .checkpoints.test_resuming import STOCK


def config(folder, **flags):
    """That of a training in `folder`; flags are `group.name` with two underscores."""
    cfg = OmegaConf.structured(FairseqConfig)
    cfg.checkpoint.save_dir = str(folder)
    for name, value in flags.items():
        OmegaConf.update(cfg, name.replace("__", "."), value)
    return cfg


def contents(folder) -> dict:
    """Every file with its digest and the moment it was written."""
    return {
        path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in folder.iterdir()
    }


def updates(folder) -> int:
    state = torch.load(folder / "checkpoint_last.pt", weights_only=True)
    return state["optimizer_history"][-1]["num_updates"]


# --- a checkpoint that is not there ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [(), STOCK], ids=["t_cvae", "a stock transformer"])
def test_a_mistyped_restore_file_trains_nothing(data_bin, tmp_path, refused, kind):
    line = refused(programs.fit, data_bin, tmp_path / "run", *kind, "--restore-file", tmp_path / "typo.pt")
    assert line == f"error: --restore-file {tmp_path}/typo.pt: no such checkpoint; remedy: check the path"
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_the_save_dir_is_found_by_its_name_in_the_remedy(tmp_path):
    """fairseq looks for it where the command was started, whatever its --help says."""
    (tmp_path / "checkpoint_best.pt").touch()
    with pytest.raises(InputError, match=f"remedy: --restore-file {tmp_path}/checkpoint_best.pt"):
        turns.checkpoint_to_load(config(tmp_path, checkpoint__restore_file="checkpoint_best.pt"))


@pytest.mark.parametrize("flag", ["restore_file", "finetune_from_model", "continue_once"])
def test_every_flag_that_names_a_checkpoint_names_one(tmp_path, flag):
    """Of a folder fairseq says `No existing checkpoint found`, and trains from nothing."""
    (tmp_path / "there.pt").touch()
    (tmp_path / "folder").mkdir()
    path = str(tmp_path / "there.pt")
    assert turns.checkpoint_to_load(config(tmp_path / "run", **{f"checkpoint__{flag}": path})) == path
    for wrong in ("folder", "none.pt"):
        with pytest.raises(InputError, match=f"--{flag.replace('_', '-')} .*{wrong}: no such checkpoint; remedy"):
            turns.checkpoint_to_load(config(tmp_path / "run", **{f"checkpoint__{flag}": str(tmp_path / wrong)}))


def test_the_default_is_there_or_not(tmp_path):
    """Also by its whole path, as a job writes it that is started again and again."""
    last = str(tmp_path / "run/checkpoint_last.pt")
    by_path = config(tmp_path / "run", checkpoint__restore_file=last)
    tuned = config(tmp_path / "run", checkpoint__finetune_from_model=str(tmp_path / "gone.pt"))
    assert turns.checkpoint_to_load(config(tmp_path / "run")) is None
    assert turns.checkpoint_to_load(by_path) is None
    (tmp_path / "run").mkdir()
    (tmp_path / "run/checkpoint_last.pt").touch()
    for cfg in (config(tmp_path / "run"), by_path, tuned):  # what is tuned goes on with its own
        assert turns.checkpoint_to_load(cfg) == last
    (tmp_path / "run/checkpoint_last.pt").unlink()
    (tmp_path / "run/checkpoint_last.pt").mkdir()
    with pytest.raises(InputError, match="no such checkpoint"):
        turns.checkpoint_to_load(config(tmp_path / "run"))


# --- nothing left to do ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, limit", [
    ((), ("--max-update", "3", "--save-interval-updates", "2")),
    ((), ("--max-epoch", "1", "--max-update", "0", "--batch-size", "60")),
    (STOCK, ("--max-update", "3")),
], ids=["updates", "epochs", "a stock transformer"])  # fmt: skip
def test_a_finished_training_is_left_as_it_is(data_bin, tmp_path, kind, limit, caplog):
    """Whether it ended by itself or was killed after its last checkpoint; its log, too."""
    flags = (*kind, "--save-dir", tmp_path, "--log-file", tmp_path / "train.log")
    programs.fit(data_bin, tmp_path, *flags, *limit)
    before = contents(tmp_path)
    assert {"checkpoint_last.pt", "checkpoint_best.pt", "train.log", "lock"} <= before.keys()
    with caplog.at_level(logging.INFO, logger=turns.__name__):
        assert not programs.fit(data_bin, tmp_path, *flags, *limit).log
    assert contents(tmp_path) == before
    assert f"nothing to train: {tmp_path}/checkpoint_last.pt has " in caplog.text and limit[0] in caplog.text


def test_a_larger_budget_goes_on(data_bin, tmp_path):
    programs.fit(data_bin, tmp_path, "--max-update", "2")
    assert len(programs.fit(data_bin, tmp_path, "--max-update", "4").numbers("train_inner")) == 2
    assert updates(tmp_path) == 4
    assert not programs.fit(data_bin, tmp_path, "--max-update", "3").log
    anew = programs.fit(data_bin, tmp_path, "--max-update", "3", "--reset-optimizer", "--reset-dataloader")
    assert len(anew.numbers("train_inner")) == 3


@pytest.mark.parametrize("limits, done", [
    ({}, None),
    ({"max_update": 20}, "20 updates, --max-update 20"),
    ({"max_update": 21, "max_epoch": 2}, "2 epochs, --max-epoch 2"),
    ({"max_update": 0, "max_epoch": 3}, None),  # it is in the third
    ({"stop_time_hours": 1.5}, "2 hours, --stop-time-hours 1.5"),
    ({"stop_time_hours": 2.5}, None),
])  # fmt: skip
def test_when_a_training_has_ended(tmp_path, limits, done):
    extra = {"train_iterator": {"epoch": 3, "iterations_in_epoch": 5}, "previous_training_time": 7200}
    state = {"model": {}, "optimizer_history": [{"num_updates": 20}], "extra_state": extra}
    torch.save(state, tmp_path / "checkpoint_last.pt")
    shutil.copy(tmp_path / "checkpoint_last.pt", tmp_path / "other.pt")
    limits = {f"optimization__{name}": value for name, value in limits.items()}
    assert turns.finished(config(tmp_path, **limits), str(tmp_path / "checkpoint_last.pt")) == done
    for elsewhere in (config(tmp_path / "run", **limits), config(tmp_path, **limits, checkpoint__reset_optimizer=True)):
        assert turns.finished(elsewhere, str(tmp_path / "other.pt")) is None


@pytest.mark.parametrize("change, said", [
    ({"optimizer_history": [{"num_updates": "x"}]}, "its number of updates"),
    ({"optimizer_history": ["x"]}, "no optimizer_history"),
    ({"optimizer_history": {"a": 1}}, "no optimizer_history"),
    ({"extra_state": [1]}, "no extra_state"),
    ({"extra_state": {"train_iterator": [1]}}, "its place in the data"),
    ({"extra_state": {"previous_training_time": "x"}}, "previous_training_time is no number"),
    ({"extra_state": {"early_stop": {"num_runs": "x"}}}, "num_runs is no number"),
])  # fmt: skip
def test_a_damaged_checkpoint_has_reached_nothing(tmp_path, change, said):
    """Whether a training is finished is asked before fairseq loads the checkpoint, and it is checked."""
    path = tmp_path / "checkpoint_last.pt"
    torch.save({"model": {}, "optimizer_history": [{"num_updates": 20}], "extra_state": {}, **change}, path)
    limits = {"optimization__max_update": 30, "optimization__stop_time_hours": 1, "checkpoint__patience": 1}
    with pytest.raises(InputError, match=f"^{path}: .*{said}"):
        turns.finished(config(tmp_path, **limits), str(path))


def test_what_a_killed_training_did_not_remove_is_removed(tmp_path):
    """--keep-interval-updates, killed between the last checkpoint and the pruning."""
    state = {"model": {}, "optimizer_history": [{"num_updates": 6}], "extra_state": {}}
    torch.save(state, tmp_path / "checkpoint_last.pt")
    for update in (2, 4, 6):
        (tmp_path / f"checkpoint_1_{update}.pt").touch()
    cfg = config(tmp_path, optimization__max_update=6, checkpoint__keep_interval_updates=2)
    turns.train_unless_finished(pytest.fail, cfg)
    left = sorted(path.name for path in tmp_path.glob("*.pt"))
    assert left == ["checkpoint_1_4.pt", "checkpoint_1_6.pt", "checkpoint_last.pt"]


# --- one training at a time ------------------------------------------------------------------------------------------


@pytest.fixture
def taken(tmp_path):
    """A folder that another process trains in."""
    with open(tmp_path / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield tmp_path


def test_a_second_training_in_a_folder_is_refused(data_bin, taken, refused):
    line = refused(programs.fit, data_bin, taken)
    assert line.startswith(f"error: {taken} is being trained by another process; remedy: ")
    assert [path.name for path in taken.iterdir()] == ["lock"]


def test_the_lock_is_given_back(tmp_path):
    for _ in range(2):
        with turns.alone(config(tmp_path)), pytest.raises(InputError), turns.alone(config(tmp_path)):
            pass


@pytest.mark.parametrize("flags", [{"distributed_training__distributed_rank": 1}, {"checkpoint__no_save": True}])
def test_who_needs_no_lock(taken, flags):
    """Further processes of one training, on this node or another, and who writes nothing."""
    with turns.alone(config(taken, **flags)):
        pass


def test_a_script_that_holds_the_lock_trains_there(taken, monkeypatch):
    monkeypatch.setenv(turns.HELD, str(taken / "." / ".." / taken.name))
    with turns.alone(config(taken)):
        pass
    monkeypatch.setenv(turns.HELD, str(taken.parent))
    with pytest.raises(InputError), turns.alone(config(taken)):
        pass


def test_a_file_system_without_locks_trains(tmp_path, monkeypatch, caplog):
    def no_locks(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with turns.alone(config(tmp_path)):
        assert "nothing keeps a second training from this folder" in caplog.text


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match="--save-dir .*file/run: Not a directory"),
        turns.alone(config(tmp_path / "file/run")),
    ):
        pass


def test_a_data_loader_that_outlives_its_training_holds_nothing(tmp_path):
    forked = multiprocessing.get_context("fork")
    ended = forked.Event()
    with turns.alone(config(tmp_path)):
        loader = forked.Process(target=ended.wait, daemon=True)
        loader.start()
    with turns.alone(config(tmp_path)):
        assert loader.is_alive()
    ended.set()
    loader.join()


def test_other_programs_take_no_turn():
    from fairseq_cli import generate, train, validate

    assert turns.train_in_turn(generate.main) is generate.main and turns.train_in_turn(validate.main) is validate.main
    assert turns.train_in_turn(train.main).args == (train.main,)
