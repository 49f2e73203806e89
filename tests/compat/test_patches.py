"""Each patch of `compat`: what the unpatched fairseq does wrong, and that the patch cures it.

Where an "unpatched" assertion fails, this fairseq or torch no longer needs the patch: delete both.
"""

import argparse
import errno
import importlib.util
import inspect
import io
import logging
import os
import pickle
import shutil
import socket
from argparse import Namespace

import fairseq.file_io
import numpy as np
import pytest
import torch
import torch.distributed as dist
from fairseq import checkpoint_utils, options, utils
from fairseq.data import ListDataset, data_utils
from fairseq.data.iterators import EpochBatchIterator
from fairseq.dataclass.configs import FairseqConfig
from fairseq.distributed import utils as distributed_utils
from fairseq.file_io import PathManager
from fairseq.models import distributed_fairseq_model
from fairseq.tasks import FairseqTask
from omegaconf import OmegaConf
from torch.nn.parallel import DistributedDataParallel

from fairseq_latent.compat import distributed, patches
from fairseq_latent.compat.batches import restore_numpy_names
from fairseq_latent.compat.checkpoints import checkpoint_files
from fairseq_latent.errors import InputError

from ..helpers import programs
from ..helpers.tiny import dataset


@pytest.fixture
def no_gpu(monkeypatch):
    """Also where there is one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)


# --- logs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patched", [False, True])
def test_a_line_of_the_log_stands_there_once(tmp_path, monkeypatch, patched):
    """However many epochs' bars were made before it."""
    from fairseq.logging import progress_bar

    monkeypatch.setattr(progress_bar.logger, "level", logging.INFO)
    progress_bar.logger.manager._clear_cache()
    make = progress_bar.progress_bar if patched else progress_bar.progress_bar.__wrapped__
    before = list(progress_bar.logger.handlers)
    try:
        bars = [make([], log_format="json", log_file=str(tmp_path / "log"), epoch=epoch) for epoch in (1, 2, 3)]
        bars[-1].print({"loss": 1}, tag="valid")
    finally:
        for handler in set(progress_bar.logger.handlers) - set(before):
            progress_bar.logger.removeHandler(handler)
            handler.close()
    assert (tmp_path / "log").read_text().count("valid_loss") == (1 if patched else 3)


# --- data and batches ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["int", "float", "object", "compat"])
def test_numpy_names(monkeypatch, name):
    monkeypatch.delattr(np, name)
    with pytest.raises(AttributeError):
        getattr(np, name)  # unpatched
    restore_numpy_names()
    assert hasattr(np, name)
    assert np.compat.long is np.int64


def batches(batch_by_size, count, **options):
    sizes = np.full(count, 4, dtype=np.int64)
    made = batch_by_size(
        np.arange(count), num_tokens_fn=lambda index: 4, num_tokens_vec=sizes, required_batch_size_multiple=8, **options
    )
    return sorted(int(index) for made_batch in made for index in made_batch)


@pytest.mark.parametrize("count", [5, 21, 100, 1])
@pytest.mark.parametrize("limit", [{"max_sentences": 8}, {"max_tokens": 64}, {"max_sentences": 200}])
def test_the_last_batch_is_kept(count, limit):
    assert len(batches(data_utils.batch_by_size.__wrapped__, count, **limit)) < count  # unpatched
    assert batches(data_utils.batch_by_size, count, **limit) == list(range(count))


def test_full_batches_stay_as_they_are():
    for count, limit in ((16, {"max_sentences": 8}), (0, {"max_sentences": 8})):
        assert batches(data_utils.batch_by_size, count, **limit) == list(range(count))
    indices = iter([2, 0, 1])
    made = data_utils.batch_by_size(indices, lambda index: 4, max_sentences=2, required_batch_size_multiple=2)
    assert [list(part) for part in made] == [[2, 0], [1]]


def composition(get_batch_iterator, task, data, epoch):
    """The batches of an iterator that was made in `epoch`, as a resumed run makes it."""
    task.dataset_to_epoch_iter.clear()
    iterator = get_batch_iterator(task, data, max_sentences=3, seed=1, epoch=epoch)
    return sorted(sorted(map(int, part)) for part in iterator.frozen_batches)


def test_a_resumed_run_trains_on_the_same_batches(task):
    data = dataset(task, ((3, 3),) * 12)
    data.dataset.shuffle = True
    unpatched = inspect.unwrap(FairseqTask.get_batch_iterator)
    assert composition(unpatched, task, data, 1) != composition(unpatched, task, data, 2)
    patched = FairseqTask.get_batch_iterator
    assert (
        composition(patched, task, data, 1)
        == composition(patched, task, data, 2)
        == composition(patched, task, data, 9)
    )


def test_the_order_of_batches_still_changes_with_the_epoch_and_the_seed(task):
    data = dataset(task, ((3, 3),) * 12)
    data.dataset.shuffle = True

    def order(epoch, seed=1):
        task.dataset_to_epoch_iter.clear()
        iterator = FairseqTask.get_batch_iterator(task, data, max_sentences=1, seed=seed, epoch=epoch)
        return [sample["id"].tolist() for sample in iterator.next_epoch_itr(shuffle=True)]

    assert order(1) == order(1) != order(2)
    assert order(1) != order(1, seed=2)


# --- checkpoints -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(data_bin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    programs.fit(data_bin, folder, "--max-update", "2")
    return folder / "checkpoint_last.pt"


def test_fairseqs_checkpoints_load(checkpoint, tmp_path):
    old_style = tmp_path / "old.pt"
    torch.save({"args": Namespace(arch="x"), "best": np.float64(1.5), "sizes": np.arange(3)}, old_style)
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        with pytest.raises(pickle.UnpicklingError):
            torch.load(old_style)  # unpatched
        checkpoint_files.allow_checkpoint_types()
        state = torch.load(old_style)
        assert state["args"].arch == "x" and state["best"] == 1.5 and state["sizes"].tolist() == [0, 1, 2]
        assert "model" in checkpoint_utils.load_checkpoint_to_cpu(str(checkpoint))
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(allowed)


class Malicious:
    """Its pickle runs a function of choice when it is loaded."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("where", ["model", "args", "extra_state", "cfg"])
@pytest.mark.parametrize("function", [os.mkdir, eval, argparse.ArgumentParser])
def test_a_malicious_checkpoint_is_refused_not_executed(checkpoint, tmp_path, where, function):
    mark = tmp_path / "executed"
    argument = f"__import__('os').mkdir({str(mark)!r})" if function is eval else str(mark)
    state = torch.load(checkpoint, weights_only=True)
    state[where] = Malicious(function, argument)
    evil = tmp_path / "evil.pt"
    torch.save(state, evil)
    with pytest.raises(pickle.UnpicklingError):
        inspect.unwrap(checkpoint_utils.load_checkpoint_to_cpu)(str(evil))
    with pytest.raises(InputError, match="evil.pt: refused"):
        checkpoint_utils.load_checkpoint_to_cpu(str(evil))
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"rubbish", b"PK\x03\x04", b"\x80\x02}q\x00."])
def test_what_is_no_checkpoint_is_named(tmp_path, content):
    path = tmp_path / "broken.pt"
    path.write_bytes(content)
    with pytest.raises(Exception) as unpatched:  # noqa: B017
        inspect.unwrap(checkpoint_utils.load_checkpoint_to_cpu)(str(path))
    assert "broken.pt" not in str(unpatched.value)
    with pytest.raises(InputError, match="broken.pt: truncated, or no checkpoint; remedy"):
        checkpoint_utils.load_checkpoint_to_cpu(str(path))


def full_disk(source, destination):
    """A copy that writes half of the file, then finds the disk full."""
    with open(source, "rb") as whole, open(destination, "wb") as half:
        half.write(whole.read()[:10])
    raise OSError(errno.ENOSPC, "No space left on device", destination)


def test_a_checkpoint_is_copied_whole_or_not_at_all(monkeypatch, tmp_path):
    new, last = tmp_path / "checkpoint2.pt", tmp_path / "checkpoint_last.pt"
    new.write_bytes(b"n" * 100)
    spec = importlib.util.spec_from_file_location("unmended_file_io", fairseq.file_io.__file__)
    unpatched = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(unpatched)
    monkeypatch.setattr(unpatched, "IOPathManager", None)
    monkeypatch.setattr(shutil, "copyfile", full_disk)
    for copy, error, left in (
        (unpatched.PathManager.copy, OSError, b"n" * 10),
        (PathManager.copy, InputError, b"o" * 100),
    ):
        last.write_bytes(b"o" * 100)
        with pytest.raises(error, match="No space left"):
            copy(str(new), str(last), overwrite=True)
        assert last.read_bytes() == left
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint2.pt", "checkpoint_last.pt"]


class SmallDisk(io.FileIO):
    """A file that holds a thousand bytes."""

    def write(self, content):
        if self.tell() + len(content) > 1000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(content)


def test_a_checkpoint_is_saved_whole_or_not_at_all(monkeypatch, tmp_path, caplog):
    """Unpatched: three attempts, a traceback in the log, half a .tmp file, and an error that names no file."""
    path, state = tmp_path / "checkpoint1.pt", {"weights": torch.zeros(10_000)}
    checkpoint_utils.torch_persistent_save({"weights": torch.ones(3)}, str(path))
    unpatched = checkpoint_utils.torch_persistent_save.__wrapped__
    monkeypatch.setattr(checkpoint_utils.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(checkpoint_utils.PathManager, "open", lambda name, mode: SmallDisk(name, "w"))
    with pytest.raises((OSError, RuntimeError)):
        unpatched(state, str(path))
    assert "Traceback" in caplog.text and (tmp_path / "checkpoint1.pt.tmp").exists()

    caplog.clear()
    monkeypatch.setattr(checkpoint_files, "open", lambda name, mode: SmallDisk(name, "w"), raising=False)
    with pytest.raises(InputError, match=r"checkpoint1.pt: not written, No space left on device; .*remedy: free space"):
        checkpoint_utils.torch_persistent_save(state, str(path))
    assert not caplog.text
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint1.pt"]
    assert torch.load(path)["weights"].tolist() == [1, 1, 1]


def test_other_errors_of_saving_stay_what_they_are(tmp_path):
    with pytest.raises((AttributeError, pickle.PicklingError, TypeError)):
        checkpoint_utils.torch_persistent_save({"no": lambda: None}, str(tmp_path / "checkpoint1.pt"))
    assert not list(tmp_path.iterdir())


def test_copying_overwrites_only_when_asked(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("1"), other.write_text("2")
    assert PathManager.copy(str(one), str(other)) is False and other.read_text() == "2"
    assert PathManager.copy(str(one), str(other), overwrite=True) is True and other.read_text() == "1"


# --- precision -------------------------------------------------------------------------------------------------------


def config(**common):
    cfg = OmegaConf.structured(FairseqConfig)
    for name, value in common.items():
        OmegaConf.update(cfg, f"common.{name}", value)
    return cfg


def test_bfloat16_trains_on_a_cpu(no_gpu, data_bin, tmp_path, monkeypatch):
    with monkeypatch.context() as unpatched:
        unpatched.setattr(distributed_utils, "call_main", distributed_utils.call_main.__wrapped__)
        with pytest.raises(Exception):  # noqa: B017  options.py takes bf16 for a TPU's; what breaks depends on torch
            programs.fit(data_bin, tmp_path / "unpatched", "--bf16", "--max-update", "1")
    printed = programs.fit(data_bin, tmp_path / "patched", "--bf16", criterion="speculative_elbo")
    assert len(printed.numbers("train_inner")) == 5
    assert (tmp_path / "patched/checkpoint_best.pt").exists()


# --- distributed training --------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        return port.getsockname()[1]


def test_unmended_processes_on_cpus_train_nothing_and_say_nothing(no_gpu, data_bin, tmp_path, monkeypatch):
    monkeypatch.setattr(distributed_utils, "call_main", distributed_utils.call_main.__wrapped__)
    address = ("--distributed-init-method", f"tcp://127.0.0.1:{free_port()}")
    printed = programs.fit(data_bin, tmp_path / "run", "--distributed-world-size", "2", *address)
    assert not printed.log and not (tmp_path / "run").exists()


def test_torchrun_is_understood_without_a_gpu(no_gpu, monkeypatch):
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    infer = distributed_utils._infer_torch_distributed_launch_init
    with pytest.raises(ZeroDivisionError):
        infer.__wrapped__(config().distributed_training)  # unpatched
    training = config().distributed_training
    infer(training)
    assert (training.distributed_world_size, training.distributed_rank, training.device_id) == (2, 1, 0)
    assert training.distributed_no_spawn is True


def test_lists_are_gathered_without_cuda(no_gpu, tmp_path, monkeypatch):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        data = {"mean_sum": torch.arange(3.0), "nsentences": 2}
        if not torch.backends.cuda.is_built():
            with pytest.raises((TypeError, RuntimeError, AssertionError)):
                distributed_utils.all_gather_list.__wrapped__(data, group=dist.group.WORLD)  # unpatched
        (gathered,) = distributed_utils.all_gather_list(data, group=dist.group.WORLD)
        assert gathered["nsentences"] == 2 and gathered["mean_sum"].tolist() == [0, 1, 2]
    finally:
        dist.destroy_process_group()


def test_our_own_rank_zero_may_send_configurations(monkeypatch):
    """A distributed resume: rank 1 unpickles what rank 0 broadcast."""
    sent = io.BytesIO()
    torch.save({"cfg": OmegaConf.create({"arch": "t_cvae"})}, sent)
    content = torch.frombuffer(bytearray(sent.getvalue()), dtype=torch.uint8)

    def receive(tensor, src, group):
        tensor.copy_(content if tensor.dtype == torch.uint8 else torch.tensor([len(content)]))

    monkeypatch.setattr(distributed_utils, "get_rank", lambda group: 1)
    monkeypatch.setattr(distributed_utils, "broadcast", receive)
    monkeypatch.delenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", raising=False)
    arguments = (None, 0, None, torch.device("cpu"))
    with pytest.raises(pickle.UnpicklingError):
        distributed_utils._broadcast_object_slow.__wrapped__(*arguments)  # unpatched
    assert distributed_utils._broadcast_object_slow(*arguments)["cfg"].arch == "t_cvae"
    assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" not in os.environ  # for this one call alone
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "0")
    distributed_utils._broadcast_object_slow(*arguments)
    assert os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] == "0"


def draws(train_step, rank, workers, batches, seed=1, updates=0):
    """A random number for each batch of an update, as a worker draws them."""
    trainer = Namespace(
        cfg=config(seed=seed),
        get_num_updates=lambda: updates,
        data_parallel_rank=rank,
        data_parallel_world_size=workers,
    )
    utils.set_torch_seed(seed + updates)  # Trainer.train_step begins with it
    return train_step(trainer, [{} for _ in range(batches)])


def test_workers_draw_what_one_would_draw_for_their_batches():
    """Two workers with two batches each are one with four: batch i of worker r is the one's batch 2 i + r."""

    def drawing(trainer, samples):
        return [float(torch.rand(())) for _, _ in enumerate(samples)]

    assert draws(drawing, 0, 2, 2) == draws(drawing, 1, 2, 2)  # unpatched
    patched = distributed.seed_batches_apart(drawing)
    alone, first, second = draws(patched, 0, 1, 4), draws(patched, 0, 2, 2), draws(patched, 1, 2, 2)
    assert alone == [first[0], second[0], first[1], second[1]]
    assert len({*alone, *draws(patched, 0, 1, 4, updates=1), *draws(patched, 0, 1, 4, seed=3)}) == 12
    assert alone[0] == draws(drawing, 0, 1, 1)[0]  # one worker with one batch keeps fairseq's numbers

    def drawing_twice(trainer, samples):  # as after an overflow, and to find a NaN
        return drawing(trainer, samples) == drawing(trainer, samples)

    assert draws(distributed.seed_batches_apart(drawing_twice), 1, 2, 2)


@pytest.mark.parametrize("before, after", [(1, 2), (2, 1), (2, 4), (4, 4), (3, 1)])
def test_another_number_of_workers_goes_on_at_the_same_batch(before, after):
    def iterator(workers, rank):
        batches = [[index] for index in range(48)]
        return EpochBatchIterator(
            ListDataset(list(range(48)), [1] * 48), list, batches, seed=1, num_shards=workers, shard_id=rank, epoch=1
        )

    def batches_left(state, workers):
        """What all workers still train on, in turn."""
        left = []
        for rank in range(workers):
            resumed = iterator(workers, rank)
            resumed.load_state_dict(state)
            left.append([batch[0] for batch in resumed.next_epoch_itr()])
        return [index for step in zip(*left, strict=True) for index in step]

    began = iterator(before, 0)
    steps = began.next_epoch_itr()
    whole = [index for step in zip(*[
        [batch[0] for batch in iterator(after, rank).next_epoch_itr()] for rank in range(after)
    ], strict=True) for index in step]  # fmt: skip
    for _ in range(12 // before):
        next(steps)
    state = began.state_dict()
    assert batches_left(state, after) == whole[12:]
    unpatched = {name: value for name, value in state.items() if name != "num_shards"}
    assert (batches_left(unpatched, after) == whole[12:]) == (before == after)


def test_torchs_own_parallel_model_takes_a_cpu(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        with pytest.raises(ValueError, match="device_ids"):
            DistributedDataParallel(torch.nn.Linear(2, 2), device_ids=[0], output_device=0)  # unpatched
        patched = distributed_fairseq_model.DistributedDataParallel(
            torch.nn.Linear(2, 2), device_ids=[0], output_device=0
        )
        assert type(patched) is DistributedDataParallel and patched.device_ids is None
    finally:
        dist.destroy_process_group()


def test_mends_are_applied_once():
    before = data_utils.batch_by_size
    patches.apply()
    assert data_utils.batch_by_size is before


def test_help_lists_the_flags_of_architecture_task_and_criterion(capsys, monkeypatch):
    chosen = ("--task", "dialogue", "--arch", "t_cvae_tiny", "--criterion", "elbo", "--user-dir", programs.PLUGIN)
    flags = ("--latent-dim", "--latent-samples", "--kl-schedule")
    monkeypatch.setattr("sys.argv", ["fairseq-train", "data", *chosen, "--help"])

    def helped(parse) -> str:
        with pytest.raises(SystemExit) as stop:
            parse(options.get_training_parser())
        assert stop.value.code == 0
        return capsys.readouterr().out

    patched = options.parse_args_and_arch
    assert not any(flag in helped(inspect.unwrap(patched)) for flag in flags)  # unpatched
    assert all(flag in helped(patched) for flag in flags)


def test_overrides_are_parsed_without_defaults():
    """fairseq-validate parses twice with one parser to find out what the user typed."""
    words = ["data", "--path", "x.pt", "--task", "dialogue", "--user-dir", programs.PLUGIN]
    typed = options.parse_args_and_arch(options.get_validation_parser(), words, suppress_defaults=True)
    assert typed.path == "x.pt" and not hasattr(typed, "beam")


def test_help_without_an_architecture_is_fairseqs_own(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["fairseq-train", "--help"])
    with pytest.raises(SystemExit) as stop:
        options.parse_args_and_arch(options.get_training_parser())
    assert stop.value.code == 0
    assert "--max-update" in capsys.readouterr().out
