"""`fairseq-latent sweep`: responses with the fader by hand, from 0 to 1 (Cho et al., 2022, arXiv 2204.07372, Figure 6).

The paper's text says that P.Distance has an inverse correlation with the fader, which its definition as a similarity does
not suggest. So P.Distance and 1 - P.Distance are both printed, with the rank correlation of each as it was found.
"""

import argparse
import csv
import io
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from fairseq_latent.errors import InputError
from fairseq_latent.files import written_together
from fairseq_latent.text.word_tokenizers import LANGUAGES, Tokenizer, tokenizer

from ..metrics import p_distance
from ..tables import Column, Value, render
from . import sampling_flags
from .sweep_points import MEASURES, Point, Sweep, as_json

REFERENCES, PRIOR = "references", "prior"


def measured(
    respond: Callable[[float | None, int], Sequence[str]],
    references: Sequence[str],
    metric: p_distance.PDistance,
    profiles: Sequence[str],
    words: Tokenizer,
    faders: Sequence[float],
    seeds: Sequence[int],
    signature: str,
    progress: Callable[[Iterable], Iterable] = iter,
    language: str = "en",
) -> Sweep:
    """Every fader with every seed, and the prior's own; `respond(fader, seed)` answers all contexts."""

    def point(texts: Sequence[str], fader: float | None, seed: int) -> Point:
        lines = words(texts)
        found = metric.score(metric.statistics(lines if language == "ja" else texts, profiles))
        length = sum(len(line.split()) for line in lines) / max(1, len(lines))
        return Point(fader, seed, found.value, found.extra["to_other_profiles"], length)

    pairs = [(fader, seed) for seed in seeds for fader in (None, *faders)]
    points = tuple(point(respond(fader, seed), fader, seed) for fader, seed in progress(pairs))
    notes = f"{signature}|seeds:{','.join(map(str, seeds))}|{words.signature}"
    return Sweep(points, point(references, None, 0), f"{notes}\n{metric.score([]).signature}")


def as_table(sweep: Sweep, style: str) -> str:
    """The means over seeds, a row a fader, with the correlations and signatures below (LaTeX: above)."""
    from ..reporting.score_table import LATEX_HEAD, NOTES

    columns = [Column("fader"), *MEASURES.values()]
    rows: list[list[Value]] = [[REFERENCES, *(getattr(sweep.references, name) for name in MEASURES)]]
    for fader in (None, *sweep.faders):
        label = PRIOR if fader is None else f"{fader:g}"
        rows.append([label, *(sweep.mean(fader, name) for name in MEASURES)])
    inferred = [] if sweep.inferred is None else [f"{PRIOR}: its own fader, {sweep.inferred:.3f} on average"]
    lines = [NOTES[style](line) for line in (*inferred, *correlations(sweep), *sweep.signature.split("\n"))]
    table = render(columns, rows, style)
    if style == "latex":
        return "\n".join([*LATEX_HEAD[:1], *lines, table]) + "\n"
    return "\n".join([table, "", *lines]) + "\n"


def correlations(sweep: Sweep) -> list[str]:
    """In words."""
    count = sum(point.fader is not None for point in sweep.points)
    lines = [f"Spearman's rank correlation with the fader, {count} points:"]
    for name, column in MEASURES.items():
        found = sweep.correlation(name)
        lines.append(
            f"{column.header}: {'none, it is constant' if found is None else f'{found[0]:+.3f} (p = {found[1]:.2g})'}"
        )
    return lines


def as_csv(sweep: Sweep, style: str = "csv") -> str:
    """A line a point, then one with the correlations and one with their p."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["fader", "seed", *MEASURES])

    def row(label: str, seed: int | str, values: Mapping[str, float | None]) -> None:
        writer.writerow([label, seed, *("" if value is None else f"{value:.6g}" for value in values.values())])

    row(REFERENCES, "", {name: getattr(sweep.references, name) for name in MEASURES})
    for point in sweep.points:
        label = PRIOR if point.fader is None else f"{point.fader:g}"
        row(label, point.seed, {name: getattr(point, name) for name in MEASURES})
    found = {name: sweep.correlation(name) or (None, None) for name in MEASURES}
    row("spearman", "", {name: rho for name, (rho, _) in found.items()})
    row("spearman-p", "", {name: p for name, (_, p) in found.items()})
    return text.getvalue()


FORMATS = {
    "text": as_table,
    "csv": as_csv,
    "json": lambda sweep, style: f"{as_json(sweep)}\n",
    "markdown": as_table,
    "latex": as_table,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent sweep`."""
    parser.add_argument("data", metavar="DATA", help="folder made by fairseq-preprocess, with profiles")
    parser.add_argument("--path", required=True, metavar="FILE", help="a checkpoint of persona_cvae_gpt2")
    p_distance.add_arguments(parser, required=True)
    parser.add_argument("--split", default="test", help="default: test")
    parser.add_argument(
        "--dialogues",
        metavar="FILE",
        help="conversation:turn, one a line (DATA.text/test.ids): answer the contexts of 50 dialogues, always the same "
        "ones, in place of all",
    )
    parser.add_argument("--steps", type=int, default=10, metavar="N", help="from 0 to 1 (default: 10, so 0.1 each)")
    parser.add_argument(
        "--fader-noise",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="each dimension varies by normal noise of this share of the fader (released code: 0.25; default: 0)",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], metavar="SEED", help="default: 1 2 3")
    sampling_flags.add_arguments(parser, "response")
    parser.add_argument("--batch-size", type=int, default=64, help="contexts at a time (default: 64)")
    parser.add_argument("--lang", choices=LANGUAGES, default="en", help="words, as in `score`; default: en")
    parser.add_argument("--cpu", action="store_true", help="leave a GPU alone")
    parser.add_argument("--format", choices=FORMATS, default="text")
    parser.add_argument("--out", metavar="FILE", help="write the table there instead of to the standard output")
    parser.add_argument("--plot", metavar="FILE", help="draw a picture, too: .png, .svg or .pdf")


def main(args: argparse.Namespace) -> None:
    """Answer, measure, write all that was asked for together."""
    kind = _check(args)
    found = sweep(args)
    table = FORMATS[args.format](found, args.format)
    files = {args.out: table.encode()} if args.out else {}
    if args.plot:
        from ..plotting import training_curves
        from ..plotting.sweep_figure import sweep_picture

        files[args.plot] = training_curves.encoded(sweep_picture(found), kind)
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
    sampling_flags.check(args)
    if not args.plot:
        return None
    from ..plotting.training_curves import FORMATS as PICTURES
    from ..plotting.training_curves import ending

    return ending(args.plot, PICTURES, "picture")


def sweep(args: argparse.Namespace) -> Sweep:
    """Load the model, decode, measure."""
    from fairseq.dataclass.configs import GenerationConfig
    from tqdm import tqdm

    from fairseq_latent.text.tokenizers import pieces_of

    from ..metrics.dialogue_subset import read_subset
    from .checkpoint import load
    from .persona_decoding import Speaker, profiles_of, require_latents, sentences

    trained = load(args.path, args.data, args.split, args.seeds[0], args.cpu, latent_samples=1)
    require_latents(trained, args.path)
    trained.task.cfg.fader_noise = args.fader_noise
    tokens, pieces, words = profiles_of(trained, args.data), pieces_of(args.data), tokenizer(args.lang)
    string = trained.task.target_dictionary.string
    examples, part = range(len(tokens)), "all"
    if args.dialogues:
        subset = read_subset(args.dialogues, len(tokens))
        examples, part = subset.lines, f"{subset.dialogues}-of-{subset.of}"
    generation = GenerationConfig(
        beam=1, sampling=True, sampling_topk=args.sampling_topk, sampling_topp=args.sampling_topp, max_len_a=0,
        max_len_b=args.max_length,
    )  # fmt: skip
    speaker = Speaker(trained, pieces, trained.task.build_generator([trained.model], generation), args.batch_size)
    chosen = speaker.fitting(examples)
    if len(chosen) < len(examples):
        print(f"{len(examples) - len(chosen)} of {len(examples)} contexts are too long for the model", file=sys.stderr)
    if not chosen:
        raise InputError(f"{args.data}: split {args.split}: every context is too long for the model")
    profiles = [" ".join(sentences(pieces, string(tokens[example]))) for example in chosen]
    if args.lang == "ja":
        profiles = words(profiles)
    metric = p_distance.p_distance(
        profiles, args.vectors, args.stopwords, args.train_text, args.lang,
        *((words, words.signature) if args.lang == "ja" else ()),
    )  # fmt: skip
    dataset = trained.task.dataset(args.split)
    references = [pieces.decode(string(dataset[example]["target"])) for example in chosen]
    signature = (
        f"sweep|split:{args.split}|dialogues:{part}|contexts:{len(chosen)}|topk:{args.sampling_topk}|"
        f"topp:{args.sampling_topp:g}|max-length:{args.max_length}"
        f"{f'|fader-noise:{args.fader_noise:g}' if args.fader_noise else ''}"
    )
    found = measured(
        lambda fader, seed: speaker.respond(chosen, fader, seed), references, metric, profiles, words,
        [step / args.steps for step in range(args.steps + 1)], args.seeds, signature,
        lambda pairs: tqdm(pairs, "faders", unit=" values", disable=None), args.lang,
    )  # fmt: skip
    inferred = [speaker.inferred_fader(chosen, seed) for seed in args.seeds]
    return replace(found, inferred=sum(inferred) / len(inferred))
