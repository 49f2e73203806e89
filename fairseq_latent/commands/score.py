"""`fairseq-latent score`: BLEU, dist-n, F1, length and P.Distance of several systems' responses in one table."""

import argparse
import sys

from fairseq_latent.evaluation.arguments import add_output, add_persona_metrics
from fairseq_latent.evaluation.metrics.persona_metrics import persona_measures
from fairseq_latent.files import written_whole
from fairseq_latent.text.word_tokenizers import LANGUAGES, tokenizer

from ..evaluation.metrics.score import UNKNOWN, System, measure_systems, read_systems


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `fairseq-latent score`."""
    parser.add_argument(
        "systems",
        nargs="+",
        metavar="NAME=FILE",
        help="a row's name and its responses: the output of fairseq-generate, or text with one response a line",
    )
    parser.add_argument(
        "--reference",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="after the systems: references, one per line, instead of the T- lines; several files of parallel lines: "
        "several references per context, fewer where a file after the first has a blank line",
    )
    parser.add_argument(
        "--lang",
        choices=LANGUAGES,
        default="en",
        help="words: Moses tokens (en), MeCab with ipadic (ja), or already separated by spaces (none); default: en",
    )
    parser.add_argument(
        "--hypothesis",
        choices=("first", "all", "mean"),
        default="first",
        help="of several responses per context, measure the first; all of them together, and their diversity; or the first "
        "ones, the second ones, ... and take the mean, whose distinct n-grams do not fall with their number; default: first",
    )
    add_persona_metrics(parser)
    parser.add_argument(
        "--bootstrap",
        type=int,
        default=1000,
        metavar="N",
        help="resamples of the contexts, for 95 %% intervals and p-values; 0: none; default: 1000",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the resamples; default: 1")
    parser.add_argument("--baseline", metavar="NAME", help="the system that p-values compare with; default: the first")
    add_output(parser)
    parser.add_argument(
        "--json-out", metavar="FILE", help="write JSON too, which `fairseq-latent report --scores` reads"
    )
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="same as --format json")


def main(args: argparse.Namespace) -> None:
    """Read, measure, print."""
    from ..evaluation.reporting.score_table import as_json, as_text

    systems = read_systems(args.systems, args.reference)
    _tell_of_unknown(systems[0])
    further = persona_measures(args, len(systems[0].generations), tokenizer(args.lang))
    rows = measure_systems(systems, args.lang, args.hypothesis, args.bootstrap, args.seed, args.baseline, further)
    if args.json_out is not None:
        with written_whole(args.json_out) as file:
            file.write(as_json(rows))
    text = as_json(rows) if args.format == "json" else as_text(rows, args.format)
    if args.out is None:
        sys.stdout.write(text)
        return
    with written_whole(args.out) as file:
        file.write(text)


def _tell_of_unknown(system: System) -> None:
    """No response matches `<<unk>>`, so BLEU comes out wrong; the text that was prepared has the words."""
    unknown = sum(UNKNOWN in texts[0] for texts in system.references or ())
    if unknown:
        print(
            f"note: {unknown} of {len(system.generations)} references have {UNKNOWN} for what the dictionary lacks; "
            "remedy: --reference with the text that was binarised, e.g. DATA.text/test.tgt",
            file=sys.stderr,
        )
