"""A checkpoint's record of its training, checked as `trust` checks what is loaded, without a look at its weights."""

from pathlib import Path

from fairseq.checkpoint_utils import load_checkpoint_to_cpu

from . import older
from .allowed_models import asked_for
from .checkpoint_files import read_plain
from .trust import checked


def read_settings(path: str | Path) -> dict:
    """The state of a checkpoint of ours, with `cfg`; weights are read when they are used.

    InputError for what is no checkpoint, or is not of this plugin.
    """
    with asked_for(stock=False):
        state = checked(older.give_prior_a_bias(read_plain)(str(path), lazily=True), str(path))
        # settings of fairseq before 0.10 have another form, which fairseq itself turns into that of today
        return state if state.get("cfg") else load_checkpoint_to_cpu(str(path))
