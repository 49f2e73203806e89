"""What the user chose to load: a model of this plugin, or with a task of fairseq's own one of fairseq's own.

`patches.apply` puts it in place; `trust` asks it.
"""

import contextlib
import contextvars
import functools
import inspect
from collections.abc import Iterator, Mapping

from fairseq.tasks import TASK_REGISTRY

from fairseq_latent.errors import InputError

_asked_on_command_line: list[bool] = []  # whether the last command line's --task is fairseq's own
_asked_in_python: contextvars.ContextVar[bool | None] = contextvars.ContextVar("asked_in_python", default=None)
_weights_alone: contextvars.ContextVar[bool] = contextvars.ContextVar("weights_alone", default=False)


def note_task(parse_args_and_arch):
    """Keep which task a command line names: with a task of fairseq's own, fairseq's own models are what the user wants.

    And let no flag be replaced by something else.
    """

    @functools.wraps(parse_args_and_arch)
    def wrapped(*args, **kwargs):
        _asked_on_command_line.clear()
        parsed = parse_args_and_arch(*args, **kwargs)
        flags = parsed[0] if isinstance(parsed, tuple) else parsed
        refuse_replaced(vars(flags))
        task = TASK_REGISTRY.get(getattr(flags, "task", None))
        if task is not None:
            _asked_on_command_line.append(is_stock(task))
        return parsed

    return wrapped


@contextlib.contextmanager
def asked_for(stock: bool) -> Iterator[None]:
    """Within a program: whether it wants a model of fairseq's own, whatever a command line said before."""
    token = _asked_in_python.set(stock)
    try:
        yield
    finally:
        _asked_in_python.reset(token)


def note_own_task(load_model_ensemble_and_task):
    """A program that hands over a task has chosen it. What it puts in place of settings is not replaced again."""
    signature = inspect.signature(load_model_ensemble_and_task)

    @functools.wraps(load_model_ensemble_and_task)
    def wrapped(*args, **kwargs):
        given = signature.bind(*args, **kwargs).arguments
        refuse_replaced(given.get("arg_overrides") or {})
        task = given.get("task")
        with contextlib.nullcontext() if task is None else asked_for(is_stock(type(task))):
            return load_model_ensemble_and_task(*args, **kwargs)

    return wrapped


def note_own_class(from_pretrained):
    """`TransformerModel.from_pretrained(...)` names the class that it wants."""

    @functools.wraps(from_pretrained.__func__)
    def wrapped(cls, *args, **kwargs):
        with asked_for(is_stock(cls)):
            return from_pretrained.__func__(cls, *args, **kwargs)

    return classmethod(wrapped)


def note_hub(from_pretrained):
    """Classes of fairseq's own with a `from_pretrained` of their own call this one: `BARTModel.from_pretrained(...)`."""

    @functools.wraps(from_pretrained)
    def wrapped(*args, **kwargs):
        with asked_for(_asked_in_python.get() is not False):
            return from_pretrained(*args, **kwargs)

    return wrapped


def weights_alone(load_checkpoint):
    """A training takes the weights and counters of a checkpoint, and its model from the command line."""

    @functools.wraps(load_checkpoint)
    def wrapped(*args, **kwargs):
        token = _weights_alone.set(True)
        try:
            return load_checkpoint(*args, **kwargs)
        finally:
            _weights_alone.reset(token)

    return wrapped


def refuse_replaced(flags: Mapping[str, object]) -> None:
    """fairseq hands flags to hydra as texts, in which ${...} is replaced and a backslash before a quote is taken off."""
    for name, value in flags.items():
        for text in value if isinstance(value, list | tuple) else [value]:
            if isinstance(text, str) and ("${" in text or "\\'" in text or text.endswith("\\") or text == "???"):
                flag = "DATA" if name == "data" else f"--{name.replace('_', '-')}"
                raise InputError(
                    f"{flag} {text}: fairseq would not take it literally; remedy: a name without ${{, without a backslash "
                    "at its end or before a quote, and not ???"
                )


def is_stock(kind: type) -> bool:
    """Whether a class is fairseq's own; the others come from this plugin, or from a --user-dir of the user's."""
    return kind.__module__.partition(".")[0] in ("fairseq", "fairseq_cli")


def stock_is_chosen() -> bool:
    """Whether the program, or else the command line, wants models of fairseq's own."""
    asked = _asked_in_python.get()
    return any(_asked_on_command_line) if asked is None else asked


def only_weights() -> bool:
    """Whether a training loads the checkpoint."""
    return _weights_alone.get()
