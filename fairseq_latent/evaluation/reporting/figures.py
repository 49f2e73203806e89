"""A report's pictures: curves of all trainings, and the latent space of chosen pairs."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.text.word_tokenizers import tokenizer

from ..analysis.latent_samples import SampledPair, sampled_pairs
from ..metrics.field.best_of import BestOf, curves_of
from ..metrics.score import read_system
from ..runs.method_names import bounds_likelihood
from ..tables import MISSING
from .collect import attempt
from .comparisons import FEW, listed
from .kinds import OF_RESPONSES, OF_SENTENCES, Kind
from .observations import picture_of_latents
from .systems import MeasuredSystem, Missing
from .table_rows import PERCEPTION, SWEEP, read_purity

PICTURE = "the picture of latents"
PERCEPTION_PICTURE = "perception.png"
CANDIDATES = "candidates.*.txt"  # several responses per context of fairseq-generate, a file per --rerank or search
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Picture:
    """A figure's file name, its heading, what it shows, what to look for, and its bytes (PNG)."""

    file: str
    heading: str
    alternative: str
    caption: str
    png: bytes
    long: bool = False  # so high that a page had better fold it


def pictures(
    args: argparse.Namespace,
    kind: Kind,
    systems: Sequence[MeasuredSystem],
    examples: Sequence[int],
    anchor: str,
    missing: list[Missing],
) -> list[Picture]:
    """Curves; then the latent space of chosen pairs or, of personas, what fader and Zp do: each of what there is."""
    found = curves(systems, kind) + best_of_candidates(args, systems, missing)
    if kind.personas:
        found += [picture for system in systems if system.has_latents for picture in of_persona(system, missing)]
    elif kind is OF_RESPONSES:
        pairs = latent_pairs(args, systems, examples, missing)
        found += [latent_space(args, pair, len(pairs) > 1) for pair in pairs]
    return (
        [replace(picture, file=f"{anchor.removeprefix('-')}.{picture.file}") for picture in found] if anchor else found
    )


def curves(systems: Sequence[MeasuredSystem], kind: Kind = OF_RESPONSES) -> list[Picture]:
    """KL and losses over updates, of the runs that have a log."""
    from ..plotting import style, training_curves

    logs = {system.name: system.log for system in systems if system.log}
    if not logs:
        return []
    best = ""
    if any(system.settings and system.settings.flag("k") not in ("1", MISSING) for system in systems):
        best = " Training with K > 1 logs the best (or mean) of K latents, validation always a single one."
    each = "panel" if len(logs) > training_curves.MANY else "line"
    losses = "reconstruction perplexity"
    if each == "line":
        losses = f"negative log-likelihood and {losses}"
    pictures = [
        Picture(
            "loss.png",
            f"How well {'sentences' if kind is OF_SENTENCES else 'responses'} are reconstructed",
            f"{losses} over updates, a {each} a system: {listed(list(logs))}",
            f"Lower is better. Training runs with dropout, validation without, so points may lie below lines.{best}",
            style.encoded(training_curves.loss_curves(logs)),
        ),
    ]
    with_kl = {
        system.name: system.log
        for system in systems
        if system.log and system.has_latents and bounds_likelihood(system.settings)
    }
    if with_kl:
        each = "panel" if len(with_kl) > training_curves.MANY else "line"
        picture = Picture(
            "kl.png",
            "How much the latent is used, during training",
            f"KL divergence over updates, a {each} a system: {listed(list(with_kl))}",
            "KL divergence of the posterior from the prior. A curve that falls to 0 is a posterior that collapses.",
            style.encoded(training_curves.kl_curves(with_kl)),
        )
        pictures.insert(0, picture)
    return pictures


def best_of_candidates(
    args: argparse.Namespace, systems: Sequence[MeasuredSystem], missing: list[Missing]
) -> list[Picture]:
    """Quality against the number of candidates, of the files CANDIDATES that lie in the runs' folders."""
    from ..plotting import style
    from ..plotting.best_of_figure import best_of_picture

    found: dict[str, BestOf] = {}
    for system in systems:
        for path in sorted(system.run.folder.glob(CANDIDATES)):
            name = f"{system.name}, {path.name.removeprefix('candidates.').removesuffix('.txt')}"
            best = attempt(
                lambda path=path, name=name: curves_of(read_system(name, str(path)), tokenizer(args.lang), None),
                system.name, "the best of several candidates", None, missing,
            )  # fmt: skip
            found |= {name: best} if best else {}
    if not found:
        return []
    return [
        Picture(
            "candidates.png",
            "The best of N responses",
            f"quality over the number of candidates, a colour per file: {listed(list(found))}",
            "BLEU and distinct bigrams of the response that is said if the one with the highest score of N is (solid; "
            "--rerank's score, or the model's own log probability), or the one nearest to the reference (dashed, an upper "
            "bound); means over all subsets of so many candidates.",
            style.encoded(best_of_picture(found)),
        )
    ]


def latent_pairs(
    args: argparse.Namespace, systems: Sequence[MeasuredSystem], examples: Sequence[int], missing: list[Missing]
) -> list[SampledPair]:
    """Latents of the chosen pairs under all models that can be loaded."""
    found: dict[int, SampledPair] = {}
    for system in systems:
        if system.settings is None or not system.has_latents:
            continue
        pairs = attempt(
            lambda run=system.run: sampled_pairs(args, [run], args.data, "test", examples),
            system.name, PICTURE, None, missing,
        )  # fmt: skip
        for pair in pairs or ():
            before = found.get(pair.id, replace(pair, samples={}))
            found[pair.id] = replace(before, samples={**before.samples, **pair.samples})
    return list(found.values())


def of_persona(system: MeasuredSystem, missing: list[Missing]) -> list[Picture]:
    """After Figures 6 and 5 of Cho et al. (2022), of the files that `fairseq-latent sweep` and `plot perception` wrote."""
    from ..analysis.sweep import read_sweep
    from ..plotting import style
    from ..plotting.sweep_figure import sweep_picture

    found = []
    folder, file = system.run.folder, system.run.folder.name
    if (folder / SWEEP).is_file():
        sweep = attempt(lambda: read_sweep(folder / SWEEP), system.name, "a fixed fader", None, missing)
        if sweep is not None:
            found.append(
                Picture(
                    f"{file}.{SWEEP.removesuffix('.json')}.png",
                    f"A fixed fader: {system.name}",
                    "three curves over the fader: P.Distance, one minus it, words per response",
                    "Responses with the fader set from 0 to 1; after Figure 6 of Cho et al. (2022). ρ is Spearman's rank "
                    "correlation of the fader and each measure. Dotted: nearness to the profiles of others; where it moves "
                    "like the other curve, the fader changes how responses are made, not how much of a persona is in them.",
                    style.encoded(sweep_picture(sweep)),
                )
            )
    if (folder / PERCEPTION_PICTURE).is_file():
        drawn = attempt(
            lambda: (_png(folder / PERCEPTION_PICTURE), read_purity(folder / PERCEPTION)),
            system.name, "what Zp makes of profiles", None, missing,
        )  # fmt: skip
        if drawn is not None:
            png, purity = drawn[0], drawn[1].numbers
            found.append(
                Picture(
                    f"{file}.{PERCEPTION_PICTURE}",
                    f"What Zp makes of profiles: {system.name}",
                    "two-dimensional map of profiles, a colour for what each is about",
                    f"Means of q(Zp|P) of {purity['profiles']:,} profiles by t-SNE, whose distances have no unit; after "
                    f"Figure 5 of Cho et al. (2022). Of a profile's five nearest neighbours {purity['purity']:.0%} are "
                    f"about the same, {purity['untrained']:.0%} with random weights in place of the trained ones, "
                    f"{purity['shuffled']:.0%} with labels shuffled.",
                    png,
                )
            )
    return found


def _png(path: Path) -> bytes:
    content = path.read_bytes()
    if not content.startswith(PNG):
        raise InputError(f"{path}: no PNG; remedy: fairseq-latent plot perception … --out {path}")
    return content


def latent_space(args: argparse.Namespace, pair: SampledPair, several: bool) -> Picture:
    """After Figure 2 of the paper."""
    from ..plotting import style
    from ..plotting.latent_space import latent_picture

    return Picture(
        f"latents.{pair.id}.png" if several else "latents.png",
        f"The latent space of one response{f' (test line {pair.id})' if several else ''}",
        f"two-dimensional map of latents, a panel per system: {listed(list(pair.samples))}",
        f"Latents for test line {pair.id} (reference: “{pair.reference}”), {args.prior} of the prior and "
        f"{args.posterior} of the posterior, mapped to the plane by t-SNE, whose distances and axes have no unit; "
        "after Figure 2 of Sato et al. (2021). Colour: how probable the model finds the reference given that latent, from "
        "the lowest to the highest of each panel, so that a model that ignores its latent shows all colours too: look at "
        f"the numbers above the panel. {picture_of_latents(pair.samples)}",
        style.encoded(latent_picture([pair], columns=2)),  # as wide as a phone can show
        long=len(pair.samples) > 2 * FEW,
    )
