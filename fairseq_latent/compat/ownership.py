"""Whether a command is about this plugin's models: what is not, behaves as in a fairseq without it."""

import argparse
import functools
from collections.abc import Callable, Mapping

from fairseq.criterions import CRITERION_REGISTRY
from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY
from fairseq.tasks import TASK_REGISTRY

from .error_messages import Command

PACKAGE = __name__.partition(".")[0]
REGISTRIES = {
    "task": (TASK_REGISTRY,),
    "arch": (ARCH_MODEL_REGISTRY, MODEL_REGISTRY),
    "criterion": (CRITERION_REGISTRY,),
}


def owners(values: Mapping[str, object]) -> list[type]:
    """This plugin's classes, and children of them, among a command line's --task, --arch and --criterion."""
    found = (
        registry[values[flag]]
        for flag, registries in REGISTRIES.items()
        for registry in registries
        if values.get(flag) in registry
    )
    return [owner for owner in found if any(kind.__module__.partition(".")[0] == PACKAGE for kind in owner.__mro__)]


def with_flags(look: Callable[[argparse.Namespace], None]) -> Callable[[Callable], Callable]:
    """Decorates `look`, which then wraps fairseq's parse_args_and_arch: it is shown the flags that were parsed."""

    @functools.wraps(look)
    def wrap(parse_args_and_arch: Callable) -> Callable:
        @functools.wraps(parse_args_and_arch)
        def wrapped(*args, **kwargs):
            parsed = parse_args_and_arch(*args, **kwargs)
            look(parsed if isinstance(parsed, argparse.Namespace) else parsed[0])
            return parsed

        return wrapped

    return wrap


@with_flags
def note_owner(flags: argparse.Namespace) -> None:
    """Errors of commands about our models are translated (`error_messages`), stock models' stay as they are."""
    Command.ours = bool(owners(vars(flags)))
