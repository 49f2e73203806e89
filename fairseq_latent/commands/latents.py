"""`fairseq-latent latents`: KL, active units, mutual information and perplexity of a checkpoint on a split."""

import argparse
import json
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.ranges import COUNT, POSITIVE, typed

from ..evaluation.analysis.latent_statistics import explained, table
from ..evaluation.arguments import add_by_dialogue, add_output, add_running, deliver
from ..evaluation.metrics.dialogues.sums import write_sums


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent latents`."""
    parser.add_argument("data", metavar="DATA", help="folder made by fairseq-preprocess")
    parser.add_argument("--path", required=True, metavar="FILE", help="a checkpoint, e.g. checkpoint_best.pt")
    parser.add_argument("--split", default="valid", help="valid, test, train (default: valid)")
    parser.add_argument(
        "--prior-samples",
        type=int,
        default=3,
        metavar="N",
        help="latents per context for the perplexity under the prior, the mean of N passes (default: 3; 0: without)",
    )
    parser.add_argument(
        "--importance-samples",
        type=int,
        default=0,
        metavar="K",
        help="latents per sentence for the importance-weighted perplexity (Burda et al., 2016), a tighter bound than elbo "
        "PPL; takes K times the time of the other numbers (default: 0, without)",
    )
    parser.add_argument(
        "--importance-dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="precision of the products behind the importance-weighted perplexity alone (default: float32)",
    )
    parser.add_argument(
        "--autocast",
        choices=("none", "bfloat16"),
        default="none",
        help="precision of all other matrix products; bfloat16 is faster on many processors (default: none, float32)",
    )
    parser.add_argument(
        "--max-dialogues",
        type=typed(int, COUNT),
        metavar="N",
        help="measure N dialogues at random, by --seed, in place of all; DATA needs SPLIT.ids, conversation:turn a line",
    )
    parser.add_argument(
        "--explain",
        type=typed(float, POSITIVE),
        metavar="PPL",
        help="a perplexity that a paper prints: below the table, which of ours comes nearest, per token or per word "
        "(--importance-samples adds the importance-weighted one)",
    )
    add_by_dialogue(parser, "; DATA needs SPLIT.ids")
    add_running(parser, "the posterior samples")
    add_output(parser)


def main(args: argparse.Namespace) -> int:
    """Print or write the statistics of one checkpoint."""
    from ..evaluation.analysis.latents import statistics_by_dialogue

    if args.explain and args.format == "json":
        raise InputError("--explain is a table for a reader; remedy: without --format json")
    importance = args.importance_samples, args.importance_dtype
    sampled = args.prior_samples, args.max_dialogues
    name = Path(args.path).parent.name or args.path
    found, sums = statistics_by_dialogue(
        args.path, args.data, args.split, args.seed, args.cpu, *importance, *sampled, args.autocast
    )
    if args.by_dialogue:
        if sums is None:
            raise InputError(
                f"--by-dialogue: {args.data} has no {args.split}.ids; remedy: copy it from the folder DATA.text"
            )
        write_sums(args.by_dialogue, {name: sums})
    if args.format == "json":
        text = json.dumps(vars(found), indent=2)
    else:
        text = table(name, found, args.format)
        text += f"\n\n{'% ' if args.format == 'latex' else ''}{found.signature}"
        if args.explain:
            text += f"\n\n{explained(found, args.explain, args.format)}"
    deliver(text, args.out)
    return 0
