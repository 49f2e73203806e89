"""`fairseq-latent plot`: one picture of several trainings, KL curves, loss curves or latent space; or of one's profiles."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fairseq_latent.errors import InputError, printable
from fairseq_latent.files import written_together
from fairseq_latent.memory import require_memory
from fairseq_latent.ranges import COUNT, typed
from fairseq_latent.text.word_tokenizers import LANGUAGES

from ..evaluation.analysis import latent_samples
from ..evaluation.analysis.latent_samples import SampledPair
from ..evaluation.arguments import add_latent_sampling, add_relevance, add_running
from ..evaluation.runs.run_folder import LOG, RunFolder, run_folders

PICTURES = {
    "kl": "KL between posterior and prior over updates",
    "loss": "negative log-likelihood and reconstruction perplexity over updates",
    "latents": "prior and posterior samples of chosen pairs, coloured by the reference's log-probability",
    "perception": "what a persona model makes of profiles, coloured by what they are about",
    "walk": "replies to one context from the latent of one reply to that of another, with nats and relevance",
    "candidates": "quality and diversity of the best of N responses against N, of latents, of sampling, by any --rerank",
}
COLOURS = ("panel", "pair")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `fairseq-latent plot`."""
    pictures = parser.add_subparsers(dest="picture", required=True, metavar="PICTURE")
    for name, summary in PICTURES.items():
        picture = pictures.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        if own := {"perception": _add_perception, "walk": _add_walk, "candidates": _add_candidates}.get(name):
            own(picture)
            continue
        picture.add_argument(
            "runs", nargs="+", metavar="NAME=RUN", help="a system's name and the folder of its training"
        )
        picture.add_argument("--out", required=True, metavar="FILE", help="the picture: .png, .svg or .pdf")
        if name == "latents":
            picture.add_argument("--data", required=True, metavar="DATA", help="folder made by fairseq-preprocess")
            picture.add_argument("--split", default="test", help="split that is read (default: test)")
            picture.add_argument(
                "--example", type=int, nargs="+", default=[0], metavar="ID", help="lines of the split (default: 0)"
            )
            picture.add_argument(
                "--colours",
                choices=COLOURS,
                default="panel",
                help="normalise the log-probabilities in each panel, as the paper does, or show them in nats per token on "
                "one scale for all models of a pair (default: panel)",
            )
            picture.add_argument(
                "--points", metavar="FILE", help="write what is drawn as numbers, too: .tsv, or .json with the texts"
            )
            add_latent_sampling(picture)


def _add_perception(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent plot perception`."""
    parser.add_argument("data", metavar="DATA", help="folder made by fairseq-preprocess, with profiles")
    parser.add_argument("--path", required=True, metavar="FILE", help="a checkpoint of persona_cvae_gpt2")
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help="the picture: .png, .svg or .pdf; its numbers go beside it, to .json",
    )
    parser.add_argument("--split", default="train", help="split that is read (default: train)")
    parser.add_argument(
        "--categories", metavar="FILE", help='JSON {"food": ["pizza", ...], ...}; default: six of the package\'s own'
    )
    parser.add_argument(
        "--nli",
        metavar="FOLDER",
        help="choose the category by a model of natural language inference in transformers' form, not by its words",
    )
    parser.add_argument("--points", metavar="FILE", help="write what is drawn, too: .tsv, or .json with the texts")
    add_running(parser, "t-SNE and of the shuffled labels")


def _add_walk(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent plot walk`."""
    parser.add_argument("data", metavar="DATA", help="folder made by fairseq-preprocess")
    parser.add_argument("--path", required=True, metavar="FILE", help="a checkpoint of a dialogue model with a latent")
    parser.add_argument("--out", required=True, metavar="FILE", help="the picture: .png, .svg or .pdf")
    parser.add_argument("--split", default="test", help="default: test")
    parser.add_argument("--example", type=int, default=0, metavar="ID", help="context and own reply (default: 0)")
    parser.add_argument("--to", type=int, default=1, metavar="ID", help="whose reply the other one is (default: 1)")
    parser.add_argument("--steps", type=typed(int, COUNT), default=7, help="both ends included (default: 7)")
    parser.add_argument("--beam", type=typed(int, COUNT), default=5, help="1: greedy (default: 5)")
    parser.add_argument(
        "--max-length", type=typed(int, COUNT), default=40, metavar="TOKENS", help="of a reply (default: 40)"
    )
    parser.add_argument(
        "--encoder",
        metavar="FOLDER",
        help="a BERT that encodes sentences, in transformers' form: the cosine of reply and context, too",
    )
    add_running(parser)


def _add_candidates(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent plot candidates`."""
    parser.add_argument(
        "systems",
        nargs="+",
        metavar="NAME=FILE",
        help="a line's name and the output of fairseq-generate with several responses per context (--latent-samples 20), of "
        "which the one with the highest score is said: --rerank's, or else the model's own log probability",
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="the picture: .png, .svg or .pdf")
    parser.add_argument(
        "--reference", nargs="+", action="extend", default=[], metavar="FILE", help="references, as in `score`"
    )
    parser.add_argument("--lang", choices=LANGUAGES, default="en", help="of the responses, as in `score` (default: en)")
    parser.add_argument(
        "--dialogues", metavar="FILE", help="conversation:turn, one per line: whose contexts are strangers'"
    )
    add_relevance(parser)
    add_running(parser, "strangers")


def main(args: argparse.Namespace) -> None:
    """Draw first, write then."""
    from ..evaluation.plotting import style

    kind = style.ending(args.out, style.FORMATS, "picture")
    if args.picture == "perception":
        files = _perception(args, kind)
    elif args.picture in ("walk", "candidates"):
        files = (_walk if args.picture == "walk" else _candidates)(args, kind)
    elif args.picture == "latents":
        files = _latents(args, run_folders(args.runs), kind)
    else:
        files = {args.out: style.encoded(_curves(args.picture, run_folders(args.runs)), kind)}
    with written_together(files, "wb") as opened:
        for file, content in zip(opened, files.values(), strict=True):
            file.write(content)


def _curves(picture: str, runs: list[RunFolder]):
    from ..evaluation.plotting import training_curves
    from ..evaluation.runs.training_log import read_training_log

    for run in runs:
        run.require(LOG)
    logs = {run.name: read_training_log(run.file(LOG)) for run in runs}
    return (training_curves.kl_curves if picture == "kl" else training_curves.loss_curves)(logs)


def _latents(args: argparse.Namespace, runs: list[RunFolder], kind: str) -> dict[str, bytes]:
    """File name -> content: the picture, and its points where they were asked for."""
    from ..evaluation.plotting import style
    from ..evaluation.plotting.latent_space import latent_picture

    points = args.points and style.ending(args.points, latent_samples.FORMATS, "table of points")
    pairs = latent_samples.sampled_pairs(args, runs, args.data, args.split, args.example)
    files = {args.out: style.encoded(latent_picture(pairs, args.colours), kind)}
    if points:
        files[args.points] = latent_samples.FORMATS[points](pairs).encode()
    _tell_of_absent_characters(pairs)
    return files


def _tell_of_absent_characters(pairs: Sequence[SampledPair]) -> None:
    from ..evaluation.plotting.text_layout import absent, families

    texts = [text for pair in pairs for text in (pair.context, pair.reference, *pair.samples)]
    lacking = absent(texts, families(texts))
    if lacking:
        print(
            f"the picture lacks {len(lacking)} characters, such as {lacking[:5]}, as no installed font has them; "
            "remedy: install one that has, e.g. apt install fonts-noto-cjk",
            file=sys.stderr,
        )


def _perception(args: argparse.Namespace, kind: str) -> dict[str, bytes]:
    """File name -> content: picture, numbers, and points where they were asked for; the numbers are printed, too."""
    from ..evaluation.analysis import perception
    from ..evaluation.plotting import style
    from ..evaluation.plotting.perception_figure import perception_picture

    beside = str(Path(args.out).with_suffix(".json"))
    points = args.points and style.ending(args.points, perception.FORMATS, "table of points")
    if args.points and Path(args.points) == Path(beside):
        raise InputError(f"--points {args.points}: the picture's numbers go there; remedy: another name")
    found = perception.perceive(args)
    made = {
        args.out: style.encoded(perception_picture(found), kind),
        beside: perception.as_json(found).encode(),
    }
    if points:
        made[args.points] = perception.FORMATS[points](found).encode()
    print(perception.summary(found))
    return made


def _walk(args: argparse.Namespace, kind: str) -> dict[str, bytes]:
    """File name -> content; the steps are printed, too."""
    from ..evaluation.analysis.checkpoint import load
    from ..evaluation.analysis.interpolation import FEWEST, walk
    from ..evaluation.plotting import style
    from ..evaluation.plotting.walk_figure import walk_picture
    from ..evaluation.tables import Column, render

    if args.steps < FEWEST:
        raise InputError(f"--steps {args.steps}; remedy: {FEWEST} or more")
    if args.example == args.to:
        raise InputError(f"--to {args.to}: the same reply; remedy: another example")
    require_memory(3000.0 * args.steps * args.beam, f"--steps {args.steps} --beam {args.beam}", "fewer")
    trained = load(args.path, args.data, args.split, cpu=args.cpu)
    encode = None
    if args.encoder:
        from ..modules.sentence_encoder import TextEncoder

        encode = TextEncoder(args.encoder, trained.device)
    found = walk(trained, args.example, args.to, args.steps, args.beam, args.max_length, encode)
    columns = [
        Column("share", 2),
        Column("reply"),
        Column("own nats", 2),
        Column("other nats", 2),
        Column("relevance", 3),
    ]
    rows = [[step.share, step.reply, step.nll, step.other_nll, step.relevance] for step in found.steps]
    last = len(columns) if encode else -1
    print(f"context: {printable(found.context)}\nfrom: {printable(found.reply)}\nto: {printable(found.other)}\n")
    print(render(columns[:last], [row[:last] for row in rows]))
    return {args.out: style.encoded(walk_picture(found), kind)}


SHOWN = (1, 2, 5, 10, 20, 50, 100)  # candidates of a row of the printed table


def _candidates(args: argparse.Namespace, kind: str) -> dict[str, bytes]:
    """File name -> content; some of the points are printed, too."""
    from ..evaluation.metrics.field.best_of import curves_of
    from ..evaluation.metrics.relevance import contexts_of, relevance_measure
    from ..evaluation.metrics.score import read_systems
    from ..evaluation.plotting import style
    from ..evaluation.plotting.best_of_figure import best_of_picture
    from ..evaluation.tables import Column, render
    from ..text.strangers import read_dialogues
    from ..text.word_tokenizers import tokenizer

    systems, relevance = read_systems(args.systems, args.reference), None
    if args.encoder:
        import torch

        from ..modules.sentence_encoder import TextEncoder

        contexts = contexts_of(systems[0].generations, args.contexts)
        if contexts is None:
            raise InputError("--encoder: there are no contexts (S- lines); remedy: --contexts FILE")
        encoder = TextEncoder(
            args.encoder, torch.device("cuda" if torch.cuda.is_available() and not args.cpu else "cpu")
        )
        dialogues = read_dialogues(args.dialogues, len(contexts)) if args.dialogues else None
        references = None if systems[0].references is None else [texts[0] for texts in systems[0].references]
        relevance = relevance_measure(encoder, contexts, references, dialogues, args.seed)
    words = tokenizer(args.lang)
    found = {system.name: curves_of(system, words, relevance) for system in systems}
    columns = [
        Column("system"),
        Column("best by"),
        Column("of", 0),
        Column("sentence BLEU", 2),
        Column("relevance", 3),
        Column("dist-2", 2),
    ]
    rows = [
        [
            name,
            by,
            n,
            *(None if values is None else float(values[n - 1]) for values in (of.bleu, of.relevance, of.distinct)),
        ]
        for name, each in found.items()
        for by, of in (("its scores", each.own), ("BLEU", each.oracle))
        if of is not None
        for n in SHOWN
        if n <= len(of.distinct)
    ]
    print(render(columns, rows))
    return {args.out: style.encoded(best_of_picture(found), kind)}
