"""`fairseq-latent sweep`: responses with the fader set from 0 to 1 (Cho et al., 2022, arXiv 2204.07372, Figure 6)."""

import argparse
import math
import sys

from fairseq_latent.errors import InputError
from fairseq_latent.files import written_together
from fairseq_latent.text.word_tokenizers import LANGUAGES

from ..evaluation.analysis.sweep import sweep
from ..evaluation.arguments import add_output, add_running, add_word_sampling, add_word_vectors, check_word_sampling
from ..evaluation.reporting.sweep_table import FORMATS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent sweep`."""
    parser.add_argument("data", metavar="DATA", help="folder made by fairseq-preprocess, with profiles")
    parser.add_argument("--path", required=True, metavar="FILE", help="a checkpoint of persona_cvae_gpt2")
    add_word_vectors(parser, required=True)
    parser.add_argument("--split", default="test", help="split that is read (default: test)")
    parser.add_argument(
        "--dialogues",
        metavar="FILE",
        help="conversation:turn, one per line (DATA.text/test.ids): answer the contexts of 50 dialogues, always the same "
        "ones, in place of all",
    )
    parser.add_argument(
        "--steps", type=int, default=10, metavar="N", help="steps of the fader from 0 to 1 (default: 10, of 0.1 each)"
    )
    parser.add_argument(
        "--fader-noise",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="each dimension varies by normal noise of this share of the fader (the authors' code: 0.25; default: 0)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[1, 2, 3],
        metavar="SEED",
        help="seeds of the latents and of sampling (default: 1 2 3)",
    )
    add_word_sampling(parser, "response")
    parser.add_argument(
        "--autocast",
        choices=("none", "bfloat16"),
        default="none",
        help="precision of matrix products; bfloat16 is faster on many processors (default: none, float32)",
    )
    parser.add_argument("--batch-size", type=int, default=64, help="contexts per batch (default: 64)")
    parser.add_argument("--lang", choices=LANGUAGES, default="en", help="words, as in `score`; default: en")
    add_running(parser)
    add_output(parser, FORMATS)
    parser.add_argument("--plot", metavar="FILE", help="draw a picture, too: .png, .svg or .pdf")


def main(args: argparse.Namespace) -> None:
    """Answer, measure, write all that was asked for together."""
    kind = _check(args)
    found = sweep(args)
    table = FORMATS[args.format](found, args.format)
    files = {args.out: table.encode()} if args.out else {}
    if args.plot:
        from ..evaluation.plotting import style
        from ..evaluation.plotting.sweep_figure import sweep_picture

        files[args.plot] = style.encoded(sweep_picture(found), kind)
    if files:
        with written_together(files, "wb") as opened:
            for file, content in zip(opened, files.values(), strict=True):
                file.write(content)
    if not args.out:
        sys.stdout.write(table)


def _check(args: argparse.Namespace) -> str | None:
    """The picture's kind; InputError before anything is loaded."""
    for name in ("steps", "batch_size"):
        if getattr(args, name) < 1:
            raise InputError(f"--{name.replace('_', '-')} {getattr(args, name)}; remedy: 1 or more")
    if min(args.seeds) < 0 or len(set(args.seeds)) < len(args.seeds):
        raise InputError(f"--seeds {' '.join(map(str, args.seeds))}; remedy: different numbers, 0 or more")
    if not 0 <= args.fader_noise < math.inf:
        raise InputError(f"--fader-noise {args.fader_noise}; remedy: 0.25, or 0 for none")
    check_word_sampling(args)
    if not args.plot:
        return None
    from ..evaluation.plotting.style import FORMATS as PICTURES
    from ..evaluation.plotting.style import ending

    return ending(args.plot, PICTURES, "picture")
