"""Files of checkpoints as fairseq handles them where nothing goes wrong: handlers of other places, links, retries, names."""

import errno
import os
import pickle
from types import SimpleNamespace

import fairseq.file_io
import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.file_io import PathManager

from fairseq_latent.compat.checkpoints import checkpoint_files
from fairseq_latent.errors import InputError


class Bucket:
    """iopath's path manager, with a handler of mem:// that writes down what it is asked."""

    _path_handlers = {"mem://": None}

    def __init__(self):
        self.asked = []

    def copy(self, src_path, dst_path, overwrite=False):
        self.asked.append(("copy", src_path, dst_path, overwrite))
        return True

    def open(self, path, mode="r", **options):
        self.asked.append(("open", path, mode))
        return open(os.devnull if path.startswith("mem://") else path, mode)


@pytest.fixture
def bucket(monkeypatch):
    made = Bucket()
    monkeypatch.setattr(fairseq.file_io, "IOPathManager", made)
    return made


def test_other_places_than_folders_are_their_handlers(bucket, tmp_path):
    """fairseq's own calls, as without the patch."""
    checkpoint_utils.torch_persistent_save({"model": {}}, "mem://run/checkpoint1.pt")
    assert PathManager.copy("mem://run/checkpoint1.pt", "mem://run/checkpoint_last.pt", overwrite=True)
    assert bucket.asked == [
        ("open", "mem://run/checkpoint1.pt", "wb"),
        ("copy", "mem://run/checkpoint1.pt", "mem://run/checkpoint_last.pt", True),
    ]
    checkpoint_utils.torch_persistent_save({"model": {}}, str(tmp_path / "a.pt"))
    assert bucket.asked[2:] == [("open", f"{tmp_path}/a.pt.tmp", "wb")]
    assert torch.load(tmp_path / "a.pt") == {"model": {}}


def test_a_copy_goes_to_where_a_link_points(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    new, last = tmp_path / "checkpoint2.pt", tmp_path / "checkpoint_last.pt"
    new.write_text("2")
    last.symlink_to(tmp_path / "elsewhere/last.pt")
    for text in ("2", "3"):  # what it points to is made, then changed
        new.write_text(text)
        assert PathManager.copy(str(new), str(last), overwrite=True) is True
        assert last.is_symlink() and (tmp_path / "elsewhere/last.pt").read_text() == text
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["last.pt"]


def test_a_link_to_the_copied_file_is_that_file(tmp_path):
    """`ln -s checkpoint_best.pt checkpoint_last.pt`: fairseq's copy ends in SameFileError."""
    (tmp_path / "checkpoint_best.pt").write_text("best")
    (tmp_path / "checkpoint_last.pt").symlink_to("checkpoint_best.pt")
    assert PathManager.copy(str(tmp_path / "checkpoint_best.pt"), str(tmp_path / "checkpoint_last.pt"), overwrite=True)
    assert (tmp_path / "checkpoint_last.pt").is_symlink()
    assert (tmp_path / "checkpoint_best.pt").read_text() == "best"


def failing(times, error, monkeypatch):
    """torch.save that writes half and fails so often; returns the calls."""
    save, calls = torch.save, []

    def saving(state, file):
        calls.append(file)
        if len(calls) <= times:
            file.write(b"half")
            raise error
        return save(state, file)

    monkeypatch.setattr(torch, "save", saving)
    monkeypatch.setattr(checkpoint_files.time, "sleep", lambda seconds: None)
    return calls


@pytest.mark.parametrize("error", [OSError(errno.ESTALE, "Stale file handle"), RuntimeError("unexpected pos")])
def test_what_passes_is_tried_again(tmp_path, monkeypatch, error):
    """Two failures, as fairseq bears them; each attempt begins an empty file."""
    calls = failing(2, error, monkeypatch)
    checkpoint_utils.torch_persistent_save({"weights": torch.ones(2)}, str(tmp_path / "a.pt"))
    assert len(calls) == 3 and torch.load(tmp_path / "a.pt")["weights"].tolist() == [1, 1]
    calls = failing(9, error, monkeypatch)
    with pytest.raises(type(error)):
        checkpoint_utils.torch_persistent_save({}, str(tmp_path / "b.pt"))
    assert len(calls) == 3 and [path.name for path in tmp_path.iterdir()] == ["a.pt"]


@pytest.mark.parametrize("error, expected", [
    (OSError(errno.ENOSPC, "No space left on device"), InputError), (pickle.PicklingError("no"), pickle.PicklingError),
])  # fmt: skip
def test_what_does_not_pass_is_tried_once(tmp_path, monkeypatch, error, expected):
    calls = failing(9, error, monkeypatch)
    with pytest.raises(expected):
        checkpoint_utils.torch_persistent_save({}, str(tmp_path / "a.pt"))
    assert len(calls) == 1 and not list(tmp_path.iterdir())


def test_what_cannot_be_read_is_not_truncated(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=f"{tmp_path}: a folder, no checkpoint; remedy: a checkpoint"):
        checkpoint_utils.load_checkpoint_to_cpu(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        checkpoint_utils.load_checkpoint_to_cpu(str(tmp_path / "none.pt"))
    for number, said in ((errno.EACCES, "no permission to read it"), (errno.ESTALE, "not read, Stale file handle")):
        with pytest.raises(InputError, match=f"a.pt: {said}"), checkpoint_files.naming("a.pt"):
            raise OSError(number, os.strerror(number), "a.pt")


def test_the_remedy_for_a_broken_checkpoint_is_a_path_that_can_be_typed(tmp_path):
    """A bare name is looked for where the command was started, not in --save-dir."""
    (tmp_path / "checkpoint_last.pt").write_text("half")
    with pytest.raises(InputError, match=f"--restore-file {tmp_path}/checkpoint_best.pt"):
        checkpoint_utils.load_checkpoint_to_cpu(str(tmp_path / "checkpoint_last.pt"))


# --- the best N ------------------------------------------------------------------------------------------------------


def kept(folder, metric, losses, maximize, count=2) -> list:
    """What --keep-best-checkpoints leaves after validations with these values."""
    checkpoint_utils.save_checkpoint.__dict__.pop("best", None)
    folder.mkdir(exist_ok=True)
    cfg = SimpleNamespace(
        save_dir=str(folder), keep_best_checkpoints=count, best_checkpoint_metric=metric,
        maximize_best_checkpoint_metric=maximize, no_save=False, no_epoch_checkpoints=True, no_last_checkpoints=True,
        save_interval=1, save_interval_updates=0, keep_interval_updates=0, keep_last_epochs=0,
        write_checkpoints_asynchronously=False,
    )  # fmt: skip
    trainer = SimpleNamespace(
        data_parallel_rank=0, should_save_checkpoint_on_current_rank=True, checkpoint_suffix="", task=None,
        consolidate_optimizer=lambda: None, get_num_updates=lambda: 1,
        save_checkpoint=lambda name, extra: torch.save(extra["val_loss"], name),
    )  # fmt: skip
    for number, loss in enumerate(losses, 1):
        epoch = SimpleNamespace(epoch=number, end_of_epoch=lambda: True, state_dict=dict)
        checkpoint_utils.save_checkpoint(cfg, trainer, epoch, loss)
    checkpoint_utils.save_checkpoint.__dict__.pop("best", None)
    return sorted(torch.load(path) for path in folder.glob("checkpoint.best_*"))


@pytest.mark.parametrize("maximize, best", [(True, [-0.2, 0.5]), (False, [-0.9, -0.7])])
def test_the_best_of_a_metric_below_zero_are_kept(tmp_path, monkeypatch, maximize, best):
    values = [-0.4, -0.7, 0.5, -0.9, -0.2, -0.5]
    assert kept(tmp_path / "patched", "mi", values, maximize) == best
    paths = checkpoint_utils.checkpoint_paths
    monkeypatch.setattr(checkpoint_utils, "checkpoint_paths", paths.__wrapped__)
    falling = sorted((value for value in values if value < 0), reverse=not maximize)
    assert kept(tmp_path / "unpatched", "mi", falling, maximize) == sorted(falling)


def test_other_names_are_listed_as_fairseq_does(tmp_path, monkeypatch):
    values = [4.0, 3.0, 5.0, 2.5]
    patched = kept(tmp_path / "patched", "loss", values, False)
    assert patched == [2.5, 3.0]
    for name in ("checkpoint1.pt", "checkpoint12.pt", "checkpoint_2_30.pt"):
        (tmp_path / name).touch()
    paths = checkpoint_utils.checkpoint_paths
    for pattern in (r"checkpoint(\d+)\.pt", r"checkpoint_\d+_(\d+)\.pt"):
        for keep in (False, True):
            assert paths(str(tmp_path), pattern, keep) == paths.__wrapped__(str(tmp_path), pattern, keep)
