"""Work-arounds for when fairseq-train must not train: `patches.apply` puts them in place."""

import contextlib
import functools
import logging
import os
import sys
from types import SimpleNamespace

from fairseq import checkpoint_utils
from fairseq.distributed import utils as distributed_utils
from fairseq.file_io import PathManager

from ..errors import InputError
from ..files import lock_within
from .checkpoints.checkpoint_files import read_plain
from .checkpoints.trust import check_training

logger = logging.getLogger(__name__)

PATIENCE = 3.0  # seconds
HELD = "FAIRSEQ_LATENT_LOCKED"  # the folder whose lock the script that started us holds: shell/training.py


def train_in_turn(main):
    """The `main` of fairseq-train, behind three questions; other programs' as it is.

    A --restore-file that is not there trains from nothing; a finished training that is started again trains one update
    more, and writes it; two trainings write to one save dir. Delete when fairseq does none of it.
    """
    return functools.partial(train_unless_finished, main) if is_training(main) else main


def is_training(main) -> bool:
    """fairseq-train and fairseq-hydra-train share one `main`; validation and decoding have others."""
    module = getattr(main, "__module__", None)
    return module == "fairseq_cli.train" or (
        module == "__main__" and hasattr(sys.modules["__main__"], "should_stop_early")
    )


def train_unless_finished(main, cfg, **kwargs):
    """Every process of a training runs this, its rank known."""
    checkpoint = checkpoint_to_load(cfg)
    done = checkpoint and finished(cfg, checkpoint)
    with alone(cfg):
        if not done:
            return main(cfg, **kwargs)
        if distributed_utils.is_master(cfg.distributed_training):
            prune(cfg)
    logger.info(f"nothing to train: {checkpoint} has {done}")
    return None


def checkpoint_to_load(cfg) -> str | None:
    """The checkpoint that fairseq goes on from; one that a flag names must be there."""
    checkpoint, suffix = cfg.checkpoint, suffix_of(cfg)
    last = os.path.join(checkpoint.save_dir, f"checkpoint_last{suffix}.pt")
    if checkpoint.restore_file != "checkpoint_last.pt":
        flag, path = "--restore-file", checkpoint.restore_file.replace(".pt", f"{suffix}.pt")
    elif PathManager.exists(last):
        flag, path = "--save-dir", last
    elif checkpoint.continue_once is not None:
        flag, path = "--continue-once", checkpoint.continue_once
    elif checkpoint.finetune_from_model is not None:
        flag, path = "--finetune-from-model", checkpoint.finetune_from_model
    else:
        return None
    if PathManager.isfile(path):
        return path
    if os.path.abspath(path) == os.path.abspath(last) and not PathManager.exists(path):
        return None  # the default, with its folder
    inside = os.path.join(checkpoint.save_dir, path)
    remedy = f"{flag} {inside}" if PathManager.isfile(inside) else "check the path"
    raise InputError(f"{flag} {path}: no such checkpoint; remedy: {remedy}")


def suffix_of(cfg) -> str:
    """Trainer.checkpoint_suffix: of a model in shards each process has its own checkpoints."""
    training = cfg.distributed_training
    sharded = training.ddp_backend == "fully_sharded" and training.use_sharded_state
    return (cfg.checkpoint.checkpoint_suffix or "") + (f"-shard{training.distributed_rank}" if sharded else "")


def finished(cfg, path: str) -> str | None:
    """Which limit of the training its checkpoint in the save dir has reached, in words."""
    checkpoint, optimization = cfg.checkpoint, cfg.optimization
    own = os.path.realpath(os.path.dirname(path)) == os.path.realpath(checkpoint.save_dir)
    anew = checkpoint.finetune_from_model == path or checkpoint.continue_once == path
    if not own or anew or checkpoint.reset_optimizer:
        return None
    state = read_plain(path, lazily=True)
    check_training(state, path)
    extra, history = state.get("extra_state") or {}, state.get("optimizer_history") or [{}]
    updates, epoch = history[-1].get("num_updates", 0), (extra.get("train_iterator") or {}).get("epoch", 1)
    hours = (extra.get("previous_training_time") or 0) / 3600
    waited = (extra.get("early_stop") or {}).get("num_runs") or 0
    if 0 < (optimization.max_update or 0) <= updates:
        return f"{updates} updates, --max-update {optimization.max_update}"
    if 0 < (optimization.max_epoch or 0) < epoch and not checkpoint.reset_dataloader:
        return f"{epoch - 1} epochs, --max-epoch {optimization.max_epoch}"
    if 0 < optimization.stop_time_hours < hours:
        return f"{hours:.3g} hours, --stop-time-hours {optimization.stop_time_hours}"
    if 0 < checkpoint.patience <= waited and not checkpoint.reset_meters:
        return f"{waited} validations without a better one, --patience {checkpoint.patience}"
    return None


def prune(cfg) -> None:
    """Remove what --keep-... leaves out, where the last training was killed between its last checkpoint and that."""
    checkpoint = cfg.checkpoint
    if max(checkpoint.keep_interval_updates, checkpoint.keep_last_epochs, checkpoint.keep_best_checkpoints) < 1:
        return
    nothing_new = {
        "no_save": False,
        "no_last_checkpoints": True,
        "no_epoch_checkpoints": True,
        "save_interval_updates": 0,
    }
    trainer = SimpleNamespace(
        data_parallel_rank=0, should_save_checkpoint_on_current_rank=True, checkpoint_suffix=suffix_of(cfg),
        consolidate_optimizer=lambda: None, get_num_updates=lambda: 0, task=None,
    )  # fmt: skip
    epoch = SimpleNamespace(epoch=0, end_of_epoch=lambda: False, state_dict=dict)
    checkpoint_utils.save_checkpoint(SimpleNamespace(**{**checkpoint, **nothing_new}), trainer, epoch, None)


@contextlib.contextmanager
def alone(cfg):
    """Hold the save dir's lock, which rank 0 takes for all processes of a training, on however many nodes.

    It is that of the recipes, in the same file: flock(2), which the system gives back when its holder ends. Where the
    file system has no locks, nothing is held, as in fairseq.
    """
    folder = cfg.checkpoint.save_dir
    held = os.environ.get(HELD)
    if (
        cfg.checkpoint.no_save
        or not distributed_utils.is_master(cfg.distributed_training)
        or PathManager.path_requires_pathmanager(folder)
        or (held and os.path.realpath(held) == os.path.realpath(folder))
    ):
        yield
        return
    path = os.path.join(folder, "lock")
    with contextlib.ExitStack() as opened:
        try:
            os.makedirs(folder, exist_ok=True)
            lock = opened.enter_context(open(path, "ab", buffering=0))
        except OSError as error:
            raise InputError(f"--save-dir {folder}: {error.strerror}; remedy: another folder") from error
        os.register_at_fork(after_in_child=lock.close)  # data loaders that outlive a killed training must not hold it
        try:
            lock_within(lock, PATIENCE)
        except BlockingIOError:
            raise InputError(
                f"{folder} is being trained by another process; remedy: another --save-dir, or wait for it, or end it: "
                f"fuser -k {path}"
            ) from None
        except OSError as error:
            logger.warning(f"{path}: {error.strerror}; nothing keeps a second training from this folder")
        yield
