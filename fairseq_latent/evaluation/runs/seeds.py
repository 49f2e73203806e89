"""Trainings that differ in nothing but their seed, and in where they lie: one system."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .run_folder import RunFolder
from .training_config import TrainingSettings, differences

NUMBERED = re.compile(r"[\W_]*(seeds?|runs?)?[\W_]*$", re.IGNORECASE)  # what a shared beginning of names ends in
UNKNOWN = "?"


@dataclass(frozen=True)
class System:
    """Its name, its trainings in the order of their seeds (most have one), and what else than the seed differs."""

    name: str
    runs: tuple[RunFolder, ...]
    seeds: tuple[str, ...]
    differ: tuple[str, ...] = ()  # flags


def systems_of(settings: Mapping[RunFolder, TrainingSettings | None], apart: bool = False) -> list[System]:
    """The trainings by system, in the order of the first of each.

    Those of NAME=RUN,RUN,… are one by what was said; others if they differ in the seed alone (`apart`: never), folders that
    bear its number in their names aside. Of two with the same seed, or without known settings, each is a system.
    """
    groups: list[list[RunFolder]] = []
    for run, known in settings.items():
        fitting = (group for group in groups if _together(run, known, group, settings, apart))
        if (group := next(fitting, None)) is None:
            groups.append([run])
        else:
            group.append(run)
    taken = {group[0].system or group[0].name for group in groups if len(group) == 1 or group[0].system}
    found = []
    for group in groups:
        name = group[0].system or (group[0].name if len(group) == 1 else _shared([run.name for run in group], taken))
        taken.add(name)
        found.append(_system(name, group, settings))
    return found


def _together(
    run: RunFolder,
    known: TrainingSettings | None,
    group: Sequence[RunFolder],
    settings: Mapping[RunFolder, TrainingSettings | None],
    apart: bool,
) -> bool:
    if run.system or group[0].system:
        return run.system == group[0].system
    others = [settings[other] for other in group]
    if apart or known is None or None in others or "seed" not in known.flags:
        return False
    seeds = [other.flag("seed") for other in others if other]
    return known.flag("seed") not in seeds and all(experiment(known) == experiment(other) for other in others if other)


def experiment(settings: TrainingSettings) -> tuple:
    """All that two seeds of one system share."""
    seed = settings.flag("seed")
    of_seed = re.compile(rf"(seed[-_=]?){re.escape(seed)}(?!\d)")
    flags = {name: of_seed.sub(r"\1*", value) for name, value in settings.flags.items() if name != "seed"}
    return settings.arch, settings.criterion, settings.task, *sorted(flags.items())


def _system(name: str, group: Sequence[RunFolder], settings: Mapping[RunFolder, TrainingSettings | None]) -> System:
    def seed(run: RunFolder) -> str:
        known = settings[run]
        return known.flags.get("seed", UNKNOWN) if known else UNKNOWN

    runs = sorted(group, key=lambda run: (len(seed(run)), seed(run)))
    known = [each for run in runs if (each := settings[run])]
    differ = []
    if len({experiment(each) for each in known}) > 1:
        differ = [flag for flag, _ in differences(known) if flag != "--seed"]
    return System(name, tuple(runs), tuple(map(seed, runs)), tuple(differ))


def _shared(names: Sequence[str], taken: set[str]) -> str:
    """What all names begin with, `t_cvae` of t_cvae-seed1 and t_cvae-seed2; all of them if that is nothing, or taken."""
    beginning = NUMBERED.sub("", os.path.commonprefix(list(names)))
    return beginning if beginning and beginning not in taken else " / ".join(names)
