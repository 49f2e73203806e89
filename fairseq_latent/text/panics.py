"""What libraries written in Rust raise where they stumble over a damaged file: no Exception, so that nothing catches it."""

import contextlib
from collections.abc import Iterator

PANIC = "PanicException"  # pyo3_runtime's, which cannot be imported


@contextlib.contextmanager
def panics_are_errors() -> Iterator[None]:
    """A panic becomes a ValueError."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != PANIC:
            raise
        raise ValueError(" ".join(str(error).split())[:200]) from None
