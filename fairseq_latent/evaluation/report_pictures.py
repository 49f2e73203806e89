"""A report's pictures: curves of all trainings, and the latent space of chosen pairs."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .comparisons import FEW, listed
from .findings import picture_of_latents
from .latent_samples import SampledPair
from .methods import bounds_likelihood, has_latent
from .plot import sampled_pairs
from .run_pieces import MeasuredSystem, Missing, attempt
from .tables import MISSING

PICTURE = "the picture of latents"


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
    args: argparse.Namespace, systems: Sequence[MeasuredSystem], examples: Sequence[int], missing: list[Missing]
) -> list[Picture]:
    """KL curves, loss curves, latent space: each of what there is."""
    pairs = latent_pairs(args, systems, examples, missing)
    return curves(systems) + [latent_space(args, pair, len(pairs) > 1) for pair in pairs]


def curves(systems: Sequence[MeasuredSystem]) -> list[Picture]:
    """KL and losses over updates, of the runs that have a log."""
    from . import plots

    logs = {system.name: system.log for system in systems if system.log}
    if not logs:
        return []
    best = ""
    if any(system.settings and system.settings.flag("k") not in ("1", MISSING) for system in systems):
        best = " Training with K > 1 logs the best (or mean) of K latents, validation always a single one."
    each = "panel" if len(logs) > plots.MANY else "line"
    losses = "reconstruction perplexity"
    if each == "line":
        losses = f"negative log-likelihood and {losses}"
    pictures = [
        Picture(
            "loss.png",
            "How well responses are reconstructed",
            f"{losses} over updates, a {each} a system: {listed(list(logs))}",
            f"Lower is better. Training runs with dropout, validation without, so points may lie below lines.{best}",
            plots.encoded(plots.loss_curves(logs)),
        ),
    ]
    with_kl = {
        system.name: system.log
        for system in systems
        if system.log and has_latent(system.settings) and bounds_likelihood(system.settings)
    }
    if with_kl:
        each = "panel" if len(with_kl) > plots.MANY else "line"
        picture = Picture(
            "kl.png",
            "How much the latent is used, during training",
            f"KL divergence over updates, a {each} a system: {listed(list(with_kl))}",
            "KL divergence of the posterior from the prior. A curve that falls to 0 is a posterior that collapses.",
            plots.encoded(plots.kl_curves(with_kl)),
        )
        pictures.insert(0, picture)
    return pictures


def latent_pairs(
    args: argparse.Namespace, systems: Sequence[MeasuredSystem], examples: Sequence[int], missing: list[Missing]
) -> list[SampledPair]:
    """Latents of the chosen pairs under all models that can be loaded."""
    found: dict[int, SampledPair] = {}
    for system in systems:
        if system.settings is None or not has_latent(system.settings):
            continue
        pairs = attempt(
            lambda run=system.run: sampled_pairs(args, [run], args.data, "test", examples),
            system.name, PICTURE, None, missing,
        )  # fmt: skip
        for pair in pairs or ():
            before = found.get(pair.id, replace(pair, samples={}))
            found[pair.id] = replace(before, samples={**before.samples, **pair.samples})
    return list(found.values())


def latent_space(args: argparse.Namespace, pair: SampledPair, several: bool) -> Picture:
    """After Figure 2 of the paper."""
    from . import plots
    from .latent_picture import latent_picture

    return Picture(
        f"latents.{pair.id}.png" if several else "latents.png",
        f"The latent space of one response{f' (test line {pair.id})' if several else ''}",
        f"two-dimensional map of latents, a panel a system: {listed(list(pair.samples))}",
        f"Latents for test line {pair.id} (reference: “{pair.reference}”), {args.prior} of the prior and "
        f"{args.posterior} of the posterior, mapped to the plane by t-SNE, whose distances and axes have no unit; "
        "after Figure 2 of Sato et al. (2021). Colour: how probable the model finds the reference given that latent, from "
        "the lowest to the highest of each panel, so that a model that ignores its latent shows all colours too: look at "
        f"the numbers above the panel. {picture_of_latents(pair.samples)}",
        plots.encoded(latent_picture([pair], columns=2)),  # as wide as a phone can show
        long=len(pair.samples) > 2 * FEW,
    )
