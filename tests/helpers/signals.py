"""Signals in tests."""

import signal


def interruptible() -> None:
    """For `preexec_fn`: a program answers Ctrl-C, also where the tests run in the background and inherit that they don't."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
