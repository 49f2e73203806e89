"""Responses with the fader set from 0 to 1 (Cho et al., 2022, arXiv 2204.07372, Figure 6).

The paper's text says that P.Distance has an inverse correlation with the fader, which its definition as a similarity does
not suggest. So P.Distance and 1 - P.Distance are both printed, with the rank correlation of each as it was found.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fairseq_latent.errors import InputError
from fairseq_latent.text.json_values import OTHER_FORM, number, read_json, text
from fairseq_latent.text.word_tokenizers import UNSPACED, Tokenizer, tokenizer

from ..metrics import p_distance
from ..metrics.registry import METRICS

MEASURES = {  # attribute of a Point -> its column
    "p_distance": METRICS["P.Distance"].column(),
    "one_minus": METRICS["P.Distance"].column("1 - P.Distance"),
    "to_others": METRICS["to_other_profiles"].column(),
    "length": METRICS["length"].column(),
}


@dataclass(frozen=True)
class Point:
    """Means over contexts: proximity to their profiles and to those of others, and words per response.

    fader: from 0 to 1; None where the prior chose it.
    """

    fader: float | None
    seed: int
    p_distance: float
    to_others: float
    length: float

    @property
    def one_minus(self) -> float:
        """The distance, as the name has it."""
        return 1 - self.p_distance


@dataclass(frozen=True)
class Sweep:
    """All points; `references` are measured as they are. signature: how, of what. inferred: the prior's mean fader."""

    points: tuple[Point, ...]
    references: Point
    signature: str
    inferred: float | None = None

    @property
    def faders(self) -> list[float]:
        """The values, ascending."""
        return sorted({point.fader for point in self.points if point.fader is not None})

    def of(self, fader: float | None) -> list[Point]:
        """Its points, one per seed."""
        return [point for point in self.points if point.fader == fader]

    def mean(self, fader: float | None, measure: str) -> float:
        """Over seeds."""
        values = [getattr(point, measure) for point in self.of(fader)]
        return sum(values) / len(values)

    def correlation(self, measure: str) -> tuple[float, float] | None:
        """Spearman's rank correlation with the fader over all its points, and p; None where nothing changes."""
        from scipy.stats import spearmanr

        swept = [point for point in self.points if point.fader is not None]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a constant has none, which is said below
            found = spearmanr([point.fader for point in swept], [getattr(point, measure) for point in swept])
        return None if found.statistic != found.statistic else (float(found.statistic), float(found.pvalue))


def as_json(sweep: Sweep) -> str:
    """All of it, with the correlations."""
    found = {name: sweep.correlation(name) or (None, None) for name in MEASURES}
    return json.dumps(asdict(sweep) | {"spearman": {name: {"rho": rho, "p": p} for name, (rho, p) in found.items()}})


def _point(record: dict) -> Point:
    found = Point(**record)
    for name, value in asdict(found).items():
        if name != "fader" or value is not None:
            number(value)
    return found


def sweep_of(found: Any) -> Sweep:
    """What `as_json` wrote, as JSON has it; one of OTHER_FORM where it is something else."""
    points = tuple(_point(each) for each in found["points"])
    inferred = None if found["inferred"] is None else number(found["inferred"])
    sweep = Sweep(points, _point(found["references"]), text(found["signature"]), inferred)
    if not (sweep.of(None) and sweep.faders):
        raise ValueError("no points")
    return sweep


def read_sweep(path: Path) -> Sweep:
    """What `fairseq-latent sweep --format json` wrote."""
    try:
        return sweep_of(read_json(path))
    except OTHER_FORM:
        raise InputError(
            f"{path}: this is no sweep; remedy: fairseq-latent sweep … --format json --out {path}"
        ) from None


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
        found = metric.score(metric.statistics(lines if language in UNSPACED else texts, profiles))
        length = sum(len(line.split()) for line in lines) / max(1, len(lines))
        return Point(fader, seed, found.value, found.extra["to_other_profiles"], length)

    pairs = [(fader, seed) for seed in seeds for fader in (None, *faders)]
    points = tuple(point(respond(fader, seed), fader, seed) for fader, seed in progress(pairs))
    notes = f"{signature}|seeds:{','.join(map(str, seeds))}|{words.signature}"
    return Sweep(points, point(references, None, 0), f"{notes}\n{metric.score([]).signature}")


def sweep(args: argparse.Namespace) -> Sweep:
    """Load the model, decode, measure."""
    from fairseq.dataclass.configs import GenerationConfig
    from tqdm import tqdm

    from fairseq_latent.text.tokenizers import tokenizer_of

    from ..metrics.dialogue_subset import read_subset
    from .checkpoint import load
    from .persona_decoding import Speaker, profiles_of, require_latents, sentences

    trained = load(
        args.path, args.data, args.split, args.seeds[0], args.cpu, latent_samples=1, decoding_autocast=args.autocast
    )
    require_latents(trained, args.path)
    trained.task.cfg.fader_noise = args.fader_noise
    tokens, subwords, words = profiles_of(trained, args.data), tokenizer_of(args.data), tokenizer(args.lang)
    string = trained.task.target_dictionary.string
    examples, part = range(len(tokens)), "all"
    if args.dialogues:
        subset = read_subset(args.dialogues, len(tokens))
        examples, part = subset.lines, f"{subset.dialogues}-of-{subset.of}"
    generation = GenerationConfig(
        beam=1, sampling=True, sampling_topk=args.sampling_topk, sampling_topp=args.sampling_topp, max_len_a=0,
        max_len_b=args.max_length,
    )  # fmt: skip
    speaker = Speaker(trained, subwords, trained.task.build_generator([trained.model], generation), args.batch_size)
    chosen = speaker.fitting(examples)
    if len(chosen) < len(examples):
        print(f"{len(examples) - len(chosen)} of {len(examples)} contexts are too long for the model", file=sys.stderr)
    if not chosen:
        raise InputError(f"{args.data}: split {args.split}: every context is too long for the model")
    profiles = [" ".join(sentences(subwords, string(tokens[example]))) for example in chosen]
    if args.lang in UNSPACED:
        profiles = words(profiles)
    metric = p_distance.p_distance(
        profiles, args.vectors, args.stopwords, args.train_text, args.lang,
        *((words, words.signature) if args.lang in UNSPACED else ()),
    )  # fmt: skip
    dataset = trained.task.dataset(args.split)
    references = [subwords.decode(string(dataset[example]["target"])) for example in chosen]
    signature = (
        f"sweep|split:{args.split}|dialogues:{part}|contexts:{len(chosen)}|topk:{args.sampling_topk}|"
        f"topp:{args.sampling_topp:g}|max-length:{args.max_length}"
        f"{f'|fader-noise:{args.fader_noise:g}' if args.fader_noise else ''}"
        f"{f'|precision:{args.autocast}' if args.autocast != 'none' else ''}"
    )
    found = measured(
        lambda fader, seed: speaker.respond(chosen, fader, seed), references, metric, profiles, words,
        [step / args.steps for step in range(args.steps + 1)], args.seeds, signature,
        lambda pairs: tqdm(pairs, "faders", unit=" values", disable=None), args.lang,
    )  # fmt: skip
    inferred = [speaker.inferred_fader(chosen, seed) for seed in args.seeds]
    return replace(found, inferred=sum(inferred) / len(inferred))
