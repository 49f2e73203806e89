"""`fairseq-latent self-play`: two agents of one model talk, each with a persona of its own; what that is worth."""

import argparse
import json

from ..evaluation.arguments import add_output, add_running, deliver
from ..ranges import AMOUNT, COUNT, FINITE, SHARE, Range, typed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent self-play`."""
    add = parser.add_argument
    add("data", metavar="DATA", help="persona data set, made by scripts/prepare.sh with PERSONAS=yes")
    add("--path", required=True, metavar="CHECKPOINT", help="a transmitter, of the first or of the third stage")
    add(
        "--receiver",
        required=True,
        metavar="CHECKPOINT",
        help="a receiver, of the second stage: it scores persona and repetition",
    )
    add(
        "--transmitter",
        metavar="CHECKPOINT",
        help="a transmitter of the first stage: it scores coherence (default: that of --path)",
    )
    add(
        "--reward-lm", metavar="FOLDER", help="folder of a language model in transformers' form: it scores the language"
    )
    add("--split", default="test", help="split of the personas and first messages: valid, test (default: test)")
    add("--dialogues", type=typed(int, COUNT), default=5, metavar="N", help="number of pairs of personas (default: 5)")
    add("--turns", type=typed(int, COUNT), default=3, metavar="N", help="utterances per agent (default: 3)")
    add(
        "--temperature",
        type=typed(float, Range(1e-3, 1e3)),
        default=0.7,
        help="temperature of agent A's samples (default: 0.7)",
    )
    add(
        "--topk",
        type=typed(int, AMOUNT),
        default=20,
        metavar="N",
        help="agent A samples from the N best words; 0: from all (default: 20)",
    )
    for name, weight in (("coherence", 0.1), ("persona", 0.5), ("lm", None), ("repetition", -0.1)):
        shown = "0.5 with --reward-lm, else 0" if weight is None else weight
        add(
            f"--{name}-reward",
            type=typed(float, FINITE),
            default=weight,
            metavar="W",
            help=f"weight of {name} in the reward (default: {shown})",
        )
    add(
        "--reward-discount",
        type=typed(float, SHARE),
        default=0.5,
        metavar="G",
        help="discount of later utterances in the persona reward (default: 0.5)",
    )
    add_running(parser, "pairs, orders of personas and samples")
    add_output(parser, ("text", "json"))


def main(args: argparse.Namespace) -> None:
    """Play, judge, print."""
    import fairseq  # noqa: F401  first: it registers the plugin, whose parts import each other

    from ..evaluation.self_play import demonstrate
    from ..self_play.shown import as_text, means

    made, signature = demonstrate(args)
    if args.format == "json":
        printed = json.dumps({"dialogues": made, "means": means(made), "signature": signature}, indent=2)
    else:
        printed = f"{as_text(made)}\n\n{signature}"
    deliver(printed, args.out)
