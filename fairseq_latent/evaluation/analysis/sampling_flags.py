"""How commands that decode by themselves choose words: top-k and top-p together, as Cho et al. (2022) do."""

import argparse

from fairseq_latent.errors import InputError


def add_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """The flags; `what` is decoded."""
    parser.add_argument("--sampling-topk", type=int, default=4, metavar="K", help="of the K best words (default: 4)")
    parser.add_argument(
        "--sampling-topp", type=float, default=0.8, metavar="P", help="of those with probability P (0.8)"
    )
    parser.add_argument("--max-length", type=int, default=40, metavar="TOKENS", help=f"of a {what} (default: 40)")


def check(args: argparse.Namespace) -> None:
    """InputError for values that leave no word to choose from."""
    if args.max_length < 1:
        raise InputError(f"--max-length {args.max_length}; remedy: 1 or more")
    if args.sampling_topk < 1 or not 0 < args.sampling_topp <= 1:
        raise InputError(
            f"--sampling-topk {args.sampling_topk} --sampling-topp {args.sampling_topp}; remedy: 4 and 0.8, as the paper"
        )
