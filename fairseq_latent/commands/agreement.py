"""`fairseq-latent agreement`: what the raters of a study said, and how far they agree."""

import argparse
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.text.word_tokenizers import LANGUAGES

from ..evaluation.arguments import add_output, deliver
from ..ranges import AMOUNT, typed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `fairseq-latent agreement`."""
    add = parser.add_argument
    add("folder", metavar="DIR", help="the study's folder, with what the raters sent back: ratings.*.json, sheet.*.tsv")
    add("--ratings", nargs="+", metavar="FILE", help="these ratings in place of all in DIR")
    add("--key", metavar="FILE", help="the key (default: DIR/key.json)")
    add("--without", nargs="+", action="extend", default=[], metavar="RATER", help="raters whose ratings do not count")
    add("--baseline", metavar="NAME", help="the system that marks of significance compare with; default: the first")
    add(
        "--bootstrap",
        type=typed(int, AMOUNT),
        default=1000,
        metavar="N",
        help="resamples of contexts and raters, for 95 %% intervals; 0: none (default: 1000)",
    )
    add(
        "--scores",
        metavar="FILE",
        help="correlate with automatic metrics: what score --format json wrote of the same systems",
    )
    add(
        "--lang",
        choices=LANGUAGES,
        help="words of single responses for --scores: Moses tokens (en), MeCab with ipadic (ja), characters (zh), or none; "
        "default: the study's language",
    )
    add("--seed", type=int, default=1, help="of resamples and permutations (default: 1)")
    add_output(parser)


def main(args: argparse.Namespace) -> None:
    """Read, analyse, print."""
    from ..human_evaluation.ratings import files_of, read_ratings
    from ..human_evaluation.results.analysis import analyse
    from ..human_evaluation.results.correlation import correlations, read_scores
    from ..human_evaluation.results.tables import as_json, as_text
    from ..human_evaluation.study import KEY, read_key

    folder = Path(args.folder)
    study = read_key(Path(args.key) if args.key else folder / KEY)
    files = [Path(name) for name in args.ratings] if args.ratings else files_of(folder)
    baseline = args.baseline or study.systems[0]
    if baseline not in study.systems:
        raise InputError(f"--baseline {baseline}: no such system; remedy: one of {', '.join(study.systems)}")
    results = analyse(study, read_ratings(study, files), args.bootstrap, args.seed, args.without)
    metrics = []
    if args.scores:
        metrics = correlations(results, read_scores(args.scores, study.systems), args.bootstrap, args.seed, args.lang)
    text = as_json(results, metrics) if args.format == "json" else as_text(results, args.format, baseline, metrics)
    deliver(text, args.out)
