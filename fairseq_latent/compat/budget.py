"""Warn of schedules that the training is too short for: only fairseq's trainer knows all of a training's flags."""

import functools
import logging

from ..budget import cut_short, planned_updates, warning

logger = logging.getLogger("fairseq_latent.budget")


def warn_of_short_schedules(begin_epoch):
    """Once at the start, in trainings of our tasks. Delete when fairseq gives a task its trainer's configuration."""

    @functools.wraps(begin_epoch)
    def wrapped(self, epoch):
        if hasattr(self.task, "updates_per_epoch") and not getattr(self.task, "_budget_checked", False):
            self.task._budget_checked = True
            if self.is_data_parallel_master:
                _warn(self.cfg, self.task.updates_per_epoch)
        return begin_epoch(self, epoch)

    return wrapped


def _warn(cfg, updates_per_epoch: int | None) -> None:
    limits = cfg.optimization
    updates = planned_updates(limits.max_update, limits.max_epoch, updates_per_epoch)
    if updates is None:
        return
    flags = {**_values(cfg.criterion), **_values(cfg.lr_scheduler)}
    for rise in cut_short(flags, updates, updates_per_epoch):
        logger.warning(warning(rise, updates))


def _values(group) -> dict:
    """Of a group of flags, which is a namespace where the component has no dataclass."""
    return dict(group) if hasattr(group, "keys") else vars(group or object)
