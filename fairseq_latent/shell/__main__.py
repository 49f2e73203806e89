"""`python -m fairseq_latent.shell COMMAND ...`: the words of each are those of its function; see scripts/lib.sh."""

import sys
from collections.abc import Callable

from fairseq_latent.errors import EXIT_CODE, describe

from .jobs import run_jobs
from .locks import lock_descriptor
from .made_files import make_file
from .processes import print_span, run_command
from .progress import say
from .training import print_warmup, train

COMMANDS: dict[str, Callable[..., int]] = {
    "lock": lock_descriptor,
    "run": run_command,
    "make": make_file,
    "jobs": run_jobs,
    "train": train,
    "warmup": print_warmup,
    "span": print_span,
}


def main(command: str, *words: str) -> int:
    """Code 2 and one line if something is wrong that the user can repair."""
    try:
        return COMMANDS[command](*words)
    except Exception as error:
        line = describe(error)
        if line is None:
            raise
        say(f"error: {line}")
        return EXIT_CODE


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
