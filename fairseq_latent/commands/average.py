"""`fairseq-latent average`: the mean of several checkpoints' weights, or the moving average that --store-ema keeps."""

import argparse
from pathlib import Path

from ..errors import InputError
from ..weights.averaging import average, last_checkpoints


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent average`."""
    parser.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="FROM",
        help="checkpoints of one training; or with --last its --save-dir",
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help="a new checkpoint, to decode or measure"
    )
    parser.add_argument(
        "--last", type=int, metavar="N", help="average the last N checkpoints that have a number (checkpoint3.pt)"
    )
    parser.add_argument(
        "--ema", action="store_true", help="use the moving average that fairseq-train --store-ema kept in a checkpoint"
    )


def main(args: argparse.Namespace) -> None:
    """Average, and write whole or not at all."""
    if args.out.exists():
        raise InputError(f"{args.out} is there already; remedy: another name")
    paths = args.inputs
    if args.last is not None:
        if len(paths) != 1 or not paths[0].is_dir():
            raise InputError(f"--last {args.last} takes one folder; remedy: the --save-dir of the training")
        if args.last < 1:
            raise InputError(f"--last {args.last}: no number of checkpoints; remedy: e.g. --last 5")
        paths = last_checkpoints(paths[0], args.last)
    elif len(paths) == 1 and not args.ema:
        raise InputError(f"{paths[0]}: one checkpoint has no mean; remedy: several, --last N of a folder, or --ema")
    import fairseq_latent

    fairseq_latent.register()
    from fairseq import checkpoint_utils

    state = average(paths, args.ema)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint_utils.torch_persistent_save(state, str(args.out))
    print(f"{args.out}: {'moving average' if args.ema else 'mean'} of {', '.join(map(str, paths))}")
