"""Schedules that a training is too short for: a learning rate or a KL weight that is still rising when it ends.

Only fairseq's trainer knows all of a training's flags, so that the warning is a work-around, too.
"""

import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass

logger = logging.getLogger("fairseq_latent.budget")


@dataclass(frozen=True)
class Rise:
    """Something that rises for `updates` updates up to the value of the flag `peak`."""

    what: str
    flag: str
    updates: int
    peak: str

    def at(self, updates: int) -> float:
        """The share of its peak that it has reached after so many updates."""
        return min(1.0, updates / self.updates)


def rises(flags: Mapping[str, object], updates_per_epoch: int | None = None) -> list[Rise]:
    """Of a training with these flags (names with underscores; numbers, or numbers as text)."""
    found = [
        Rise("learning rate", f"--{name.replace('_', '-')}", _number(flags.get(name)), "--lr")
        for name in ("warmup_updates", "warmup_steps")
    ]
    warmup = _number(flags.get("kl_warmup"))
    schedule = str(flags.get("kl_schedule"))
    cycle = updates_per_epoch if flags.get("kl_cycle") == "epoch" else _number(flags.get("kl_cycle"))
    if schedule == "linear" or (schedule == "cyclical" and warmup):
        found.append(Rise("KL weight", "--kl-warmup", warmup, "--kl-weight"))
    elif schedule == "cyclical":  # it rises in the first half of a cycle
        found.append(Rise("KL weight", "--kl-cycle", (cycle or 0) // 2, "--kl-weight"))
    return [rise for rise in found if rise.updates]


def cut_short(flags: Mapping[str, object], updates: int, updates_per_epoch: int | None = None) -> list[Rise]:
    """Those that a training of so many updates does not complete."""
    return [rise for rise in rises(flags, updates_per_epoch) if updates < rise.updates]


def planned_updates(max_update: int, max_epoch: int, updates_per_epoch: int | None) -> int | None:
    """How many updates a training will have at most; None where that is not known. 0 is no limit."""
    limits = [max_update] if max_update > 0 else []
    if max_epoch > 0 and updates_per_epoch:
        limits.append(max_epoch * updates_per_epoch)
    return min(limits, default=None)


def warning(rise: Rise, updates: int) -> str:
    """What fairseq-train logs at its start."""
    return (
        f"the {rise.what} rises for {rise.updates:,} updates ({rise.flag}), and this training has {updates:,}: it ends at "
        f"{rise.at(updates):.0%} of {rise.peak}; remedy: {rise.flag} {_shorter(rise, updates)}, or more updates"
    )


def _shorter(rise: Rise, updates: int) -> int:
    """A tenth of the budget for the learning rate, half of it for the KL weight."""
    parts = {"--kl-warmup": 2, "--kl-cycle": 1}
    return max(1, updates // parts.get(rise.flag, 10))


def _number(value: object) -> int:
    try:
        return int(float(str(value)))
    except (ValueError, OverflowError):
        return 0


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
    return dict(group if hasattr(group, "keys") else vars(group or object))
