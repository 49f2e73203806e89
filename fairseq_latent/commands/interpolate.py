"""`fairseq-latent interpolate`: sentences on the straight line between the latents of two (Bowman et al., 2016, Table 8)."""

import argparse

from fairseq_latent.errors import InputError
from fairseq_latent.memory import require_memory

from ..evaluation.arguments import add_running


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent interpolate`."""
    parser.add_argument("data", metavar="DATA", help="folder made by fairseq-preprocess --only-source")
    parser.add_argument("--path", required=True, metavar="FILE", help="a checkpoint of a sentence VAE")
    ends = parser.add_mutually_exclusive_group(required=True)
    ends.add_argument("--example", type=int, nargs=2, metavar="ID", help="two lines of the split, from 0")
    ends.add_argument(
        "--text", nargs=2, metavar="TEXT", help="two sentences, in the words or subword tokens of the data"
    )
    parser.add_argument("--split", default="valid", help="valid, test, train (default: valid)")
    parser.add_argument("--steps", type=int, default=7, help="number of sentences, both ends included (default: 7)")
    parser.add_argument("--beam", type=int, default=5, help="beam width; 1: greedy search (default: 5)")
    parser.add_argument(
        "--max-length", type=int, default=60, metavar="TOKENS", help="longest sentence, in tokens (default: 60)"
    )
    add_running(parser)


def main(args: argparse.Namespace) -> None:
    """Print the two sentences, and those between them with how far along they are."""
    from ..evaluation.analysis.checkpoint import load
    from ..evaluation.analysis.interpolation import FEWEST, ends_of, interpolate, sentence_of

    for name, least in (("steps", FEWEST), ("beam", 1), ("max_length", 1)):
        if getattr(args, name) < least:
            raise InputError(f"--{name.replace('_', '-')} {getattr(args, name)}; remedy: {least} or more")
    hypotheses = args.steps * args.beam
    require_memory(3000.0 * hypotheses, f"--steps {args.steps} --beam {args.beam}", "fewer")  # finished ones alone
    trained = load(args.path, args.data, args.split, cpu=args.cpu)
    if getattr(trained.task, "reads_context", True):
        raise InputError(f"{args.path}: no sentence VAE, its latent answers a context; remedy: a checkpoint of gru_vae")
    ends = ends_of(trained, args.example, args.text)
    print(f"from\t{sentence_of(trained.task, ends['src_tokens'][0])}")
    for share, sentence in interpolate(trained, ends, args.steps, args.beam, args.max_length):
        print(f"{share:.2f}\t{sentence}")
    print(f"to\t{sentence_of(trained.task, ends['src_tokens'][1])}")
