"""How the project fails: one line that says what, where and the remedy, and exit code 2."""

import sys
from collections.abc import Callable

EXIT_CODE = 2


class InputError(Exception):
    """The user's data, flags or files are wrong. The message is one line: file, line, what is wrong, the remedy."""


def missing_extra(package: str, extra: str) -> InputError:
    """The error for an optional package that is not installed."""
    return InputError(f"{package} is not installed; remedy: pip install 'fairseq_latent[{extra}]'")


def describe(error: BaseException) -> str | None:
    """One line for the errors a user can mend; None for those that are defects of the program and need a traceback."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    if isinstance(error, UnicodeDecodeError):
        return f"invalid UTF-8 at byte {error.start}; remedy: convert the file, e.g. iconv -f LATIN1 -t UTF-8"
    return None


def run(main: Callable[[], int | None]) -> int:
    """Call a command's main function; a user's mistake becomes one line on stderr and exit code 2."""
    try:
        return main() or 0
    except BrokenPipeError:  # `command | head` closed our output
        sys.stderr.close()
        return 0
    except Exception as error:
        line = describe(error)
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        return EXIT_CODE
