"""`fairseq-latent doctor`: check an installation; works while packages are broken."""

import argparse
import sys

from fairseq_latent.doctor.machine import Machine
from fairseq_latent.errors import EXIT_CODE

from ..doctor import as_json, as_text, examine, usable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `fairseq-latent doctor`."""
    parser.add_argument("--json", action="store_true", help="print the results for programs")


def main(args: argparse.Namespace) -> int:
    """Print the report; exit code 0 when usable, 2 when something needed fails."""
    results = examine(Machine())
    sys.stdout.write(as_json(results) if args.json else as_text(results))
    return 0 if usable(results) else EXIT_CODE
