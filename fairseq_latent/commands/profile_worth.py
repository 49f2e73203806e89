"""`fairseq-latent profile-worth`: whether a corpus can teach a persona latent anything, by a language model."""

import argparse
import json

from ..evaluation.arguments import add_output, add_running, deliver
from ..ranges import AMOUNT, COUNT, POSITIONS, POSITIVE, typed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent profile-worth`."""
    add = parser.add_argument
    add("data", metavar="DATA", help="persona data as text, DATA.text of scripts/prepare.sh, or DATA beside it")
    add("--lm-path", required=True, metavar="FOLDER", help="a decoder-only language model in transformers' form")
    add("--split", default="test", help="split that is measured: test or valid (default: test)")
    add(
        "--max-examples",
        type=typed(int, COUNT),
        metavar="N",
        help="measure N responses at random, chosen by --seed (default: all)",
    )
    add(
        "--max-dialogues",
        type=typed(int, COUNT),
        metavar="N",
        help="measure N dialogues at random, chosen by --seed; a speaker's responses in one are computed in one pass where "
        "contexts are whole (default: all)",
    )
    add(
        "--fine-tune",
        type=typed(int, AMOUNT),
        default=0,
        metavar="UPDATES",
        help="measure the model again after N updates of fine-tuning on the training split, with no "
        "profile, the partner's or the speaker's own at random (default: 0, no fine-tuning)",
    )
    add("--batch-size", type=typed(int, COUNT), default=32, metavar="N", help="responses per update (default: 32)")
    add("--lr", type=typed(float, POSITIVE), default=2e-4, help="peak learning rate of AdamW (default: 2e-4)")
    add(
        "--train-blocks",
        type=typed(int, COUNT),
        metavar="N",
        help="train the top N blocks of the model alone (default: the upper half)",
    )
    add(
        "--positions",
        type=typed(int, POSITIONS),
        default=512,
        metavar="N",
        help="tokens of profile, context and response; the oldest turns of longer contexts are dropped (default: 512)",
    )
    add(
        "--autocast",
        choices=("none", "bfloat16"),
        default="none",
        help="precision of matrix products; bfloat16 is faster on many processors (default: none, float32)",
    )
    add_running(parser, "strangers, dialogues, training and resamples")
    add_output(parser)


def main(args: argparse.Namespace) -> None:
    """Read, measure, fine-tune and measure again, print."""
    import torch

    from ..evaluation.analysis.profile_worth import as_fields, table
    from ..evaluation.profiles_as_text import profile_worth
    from ..modules.language_models.text_likelihood import likelihood_of_folder

    def load() -> tuple:
        device = torch.device("cuda" if torch.cuda.is_available() and not args.cpu else "cpu")
        return likelihood_of_folder(args.lm_path, args.positions, device, args.autocast == "bfloat16")

    rows, signed = profile_worth(args, load)
    if args.format == "json":
        text = json.dumps({"rows": [as_fields(row) for row in rows], "signature": signed}, indent=2)
    else:
        text = f"{table(rows, args.format)}\n\n{'% ' if args.format == 'latex' else ''}{signed}"
    deliver(text, args.out)
