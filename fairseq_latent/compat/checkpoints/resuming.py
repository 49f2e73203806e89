"""Work-arounds for what a checkpoint must hold so that a training goes on exactly: `patches.apply` puts them in place."""

import functools
import logging
import sys
from types import SimpleNamespace

import torch
from fairseq.file_io import PathManager
from fairseq.optim.lr_scheduler.reduce_lr_on_plateau import ReduceLROnPlateauLRSchedule

from .checkpoint_files import read_plain

logger = logging.getLogger(__name__)

MASTER_WEIGHTS, SCALER = "fp32_params", "loss_scaler"  # names in an optimiser's state
COUNTS = ("_iter", "_last_overflow_iter", "_last_rescale_iter", "_overflows_since_rescale")  # of DynamicLossScaler


def keep_states(state_dict):
    """A task's state is saved where only decoding looks for it, how far --patience and --ema-update-freq have counted
    nowhere: see `restore_states`.
    """

    @functools.wraps(state_dict)
    def wrapped(self):
        state = state_dict(self)
        if getattr(self.task, "restores_state", False):
            state["extra_state"]["task_state"] = self.task.state_dict()
        waited = vars(early_stopping()) if self.cfg.checkpoint.patience > 0 else {}
        if "best" in waited:
            state["extra_state"]["early_stop"] = {"best": float(waited["best"]), "num_runs": int(waited["num_runs"])}
        if self.cfg.ema.store_ema:
            state["extra_state"]["ema_updates"] = self.ema.update_freq_counter
        return state

    return wrapped


def restore_states(load_checkpoint):
    """A training that goes on forgets the state of its task, and how far --patience and --ema-update-freq have counted.

    Tasks that ask for it (ours) get theirs. Delete when Trainer.load_checkpoint restores all of it.
    """

    @functools.wraps(load_checkpoint)
    def wrapped(self, filename, reset_optimizer=False, reset_lr_scheduler=False, *args, **kwargs):
        extra_state = load_checkpoint(self, filename, reset_optimizer, reset_lr_scheduler, *args, **kwargs)
        if extra_state is None:
            return None
        if getattr(self.task, "restores_state", False):
            state = extra_state.get("task_state", {})
            self.task.check_state(state)  # also of a model that is trained anew
            if not reset_optimizer:
                self.task.load_state_dict(state)
        checkpoint = self.cfg.checkpoint
        if checkpoint.patience > 0 and not (reset_optimizer or checkpoint.reset_meters):
            vars(early_stopping()).update(extra_state.get("early_stop") or {})
        if self.cfg.ema.store_ema:
            self.ema.update_freq_counter = extra_state.get("ema_updates") or 0
        if not (reset_optimizer or reset_lr_scheduler):
            look_at_validation(self, extra_state)
        return extra_state

    return wrapped


def look_at_validation(trainer, extra_state: dict) -> None:
    """An epoch's checkpoint is written before reduce_lr_on_plateau looks at its validation, which no resume then does."""
    iterator, loss = extra_state.get("train_iterator", {}), extra_state.get("val_loss")
    at_an_end = iterator.get("iterations_in_epoch") == 0 and loss is not None
    if at_an_end and isinstance(trainer.lr_scheduler, ReduceLROnPlateauLRSchedule):
        trainer.lr_step(iterator["epoch"] - 1, loss)


def keep_plateau(state_dict):
    """reduce_lr_on_plateau's state lacks the validations that --lr-patience has waited. Delete when it has them."""

    @functools.wraps(state_dict)
    def wrapped(self):
        return {**state_dict(self), "num_bad_epochs": self.lr_scheduler.num_bad_epochs}

    return wrapped


def restore_plateau(load_state_dict):
    """What `keep_plateau` kept. Delete with it."""

    @functools.wraps(load_state_dict)
    def wrapped(self, state_dict):
        load_state_dict(self, state_dict)
        self.lr_scheduler.num_bad_epochs = state_dict.get("num_bad_epochs", 0)

    return wrapped


def begin_moving_average(load_checkpoint):
    """--store-ema on a checkpoint without a moving average: KeyError 'model'.

    It begins with the loaded weights, as fairseq means it to. Delete when Trainer.load_checkpoint keeps them until then.
    """

    @functools.wraps(load_checkpoint)
    def wrapped(self, filename, *args, **kwargs):
        ema = self.cfg.ema
        if not (ema.store_ema and PathManager.isfile(filename)):
            return load_checkpoint(self, filename, *args, **kwargs)
        ema.store_ema = "ema" in read_plain(filename, lazily=True).get("extra_state", {})
        try:
            return load_checkpoint(self, filename, *args, **kwargs)
        finally:
            ema.store_ema = True

    return wrapped


def average_tied_weights_once(step):
    """--store-ema averages a weight as often as it has names: tied embeddings three times an update, with decay ** 3.

    Delete when EMA._step_internal goes through tensors and not through names.
    """

    @functools.wraps(step)
    def wrapped(self, new_model, updates=None):
        averages = self.fp32_params if self.config.ema_fp32 else self.model.state_dict()
        places, first = set(), {}
        for name, value in new_model.state_dict().items():
            own = averages.get(name)
            place = (own.data_ptr(), own.shape) if torch.is_tensor(own) and own.numel() else name
            if place not in places:
                first[name] = value
            places.add(place)
        return step(self, SimpleNamespace(state_dict=lambda: first), updates)

    return wrapped


def early_stopping():
    """The function of fairseq-train that counts validations without a better value, in attributes of its own."""
    program = sys.modules["__main__"]  # python -m fairseq_cli.train
    if not hasattr(program, "should_stop_early"):
        from fairseq_cli import train as program
    return program.should_stop_early


def keep_master_weights(state_dict):
    """With --bf16 and --fp16 the optimiser's float32 weights are in no checkpoint: see `restore_master_weights`."""

    @functools.wraps(state_dict)
    def wrapped(self):
        state = state_dict(self)
        state[MASTER_WEIGHTS] = [weight.detach() for weight in master_weights(self)]
        if self.scaler is not None:
            state[SCALER] = {name: getattr(self.scaler, name) for name in COUNTS}
        return state

    return wrapped


def restore_master_weights(load_state_dict):
    """A training in --bf16 or --fp16 that goes on starts from its rounded weights, and the loss scale's count from zero.

    Weights that were changed since (an average) are not what was rounded, and count. Delete when FP16Optimizer's state
    has both.
    """

    @functools.wraps(load_state_dict)
    def wrapped(self, state_dict, optimizer_overrides=None):
        load_state_dict(self, state_dict, optimizer_overrides)
        if self.scaler is not None:
            vars(self.scaler).update(state_dict.get(SCALER, {}))
        kept, rounded = state_dict.get(MASTER_WEIGHTS), list(self.fp16_params)
        if kept is None or len(kept) != len(rounded):
            logger.warning("the checkpoint holds no float32 weights: training goes on from rounded ones, not exactly")
            return
        if not all(torch.equal(whole.to(half), half.detach()) for whole, half in zip(kept, rounded, strict=True)):
            logger.warning("the checkpoint's weights are not its optimiser's: training goes on from the former")
            return
        for weight, whole in zip(master_weights(self), kept, strict=True):
            weight.data.copy_(whole)

    return wrapped


def master_weights(optimizer) -> list[torch.Tensor]:
    """The optimiser's float32 weights in the order and the shapes of the model's: views where they lie in one vector."""
    if not optimizer.has_flat_params:
        return list(optimizer.fp32_params)
    flat = optimizer.fp32_params
    flat = flat if isinstance(flat, dict) else {None: flat}
    places, views = dict.fromkeys(flat, 0), []
    for parameter in optimizer.fp16_params:
        device = parameter.device.index if parameter.device.index in flat else next(iter(flat))
        begin = places[device]
        places[device] = begin + parameter.numel()
        views.append(flat[device].data[begin : places[device]].view_as(parameter))
    return views
