"""Says in words what a report's numbers say, and nothing that they don't: every sentence is computed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .dialogues import distinct_responses
from .io import Generation
from .latent_samples import LatentSamples
from .latents import LatentStatistics
from .run_folder import RunFolder
from .score import Row
from .settings import TrainingSettings
from .training_log import TrainingLog

COIN = math.log(2)  # nats of a fair coin's toss: a yardstick for readers who don't think in nats
FLAT = 0.005  # nats a token: less is nothing in two decimals


@dataclass(frozen=True)
class MeasuredSystem:
    """Everything that was read of one run."""

    run: RunFolder
    row: Row
    valid: LatentStatistics
    test: LatentStatistics
    log: TrainingLog
    settings: TrainingSettings
    samples: Sequence[Generation]

    @property
    def name(self) -> str:
        """The system's name."""
        return self.run.name

    def score(self, metric: str) -> float:
        """A corpus value on the test set."""
        return self.row.scores[metric].value


def findings(systems: Sequence[MeasuredSystem], reference: Row | None) -> list[str]:
    """One sentence or two a point, the latent first."""
    points = [latent(system) for system in systems]
    points += [sampled(system) for system in systems]
    if len(systems) > 1:
        most, more = ("the most varied", "the closest") if len(systems) > 2 else ("more varied", "closer")
        points.append(compared(systems, "dist-2", "%", most, reference))
        points.append(compared(systems, "BLEU", "", f"{more} to the references", None))
    return [*points, closeness(systems), seeds(systems)]


def latent(system: MeasuredSystem) -> str:
    """Whether the posterior has collapsed, and how much the latent carries."""
    found = system.valid
    size = system.settings.flag("latent_dim")
    measured = (
        f"KLD {found.kl:.2f} nats ({system.test.kl:.2f} on test), MI {found.mi:.2f} nats, "
        f"{found.au} of {size} dimensions active"
    )
    if found.au:
        return (
            f"{system.name}: {measured}. The posterior has not collapsed: beyond the context, up to {found.kl:.2f} nats "
            f"about the response pass through the latent ({compare_with_coin(found.kl)})."
        )
    if found.kl < COIN:
        return (
            f"{system.name}: {measured}. The posterior has collapsed onto the prior: "
            "the latent carries next to nothing about the response."
        )
    return (
        f"{system.name}: {measured}. The posterior lies apart from the prior, but its mean is the same for all responses: "
        "the latent tells them apart no better than a collapsed one."
    )


def compare_with_coin(nats: float) -> str:
    """A yardstick: ln 2 nats."""
    relation = "less than" if nats < COIN else "more than"
    return f"{relation} the toss of a coin, {COIN:.2f}"


def sampled(system: MeasuredSystem) -> str:
    """How much the latent changes what is said."""
    mean, same = distinct_responses(system.samples)
    latents, contexts = len(system.samples[0].hypotheses), len(system.samples)
    noise = ""
    if not system.valid.au and mean > 1:
        noise = " As the latent carries nothing, this variety is noise, not a choice among answers."
    return (
        f"{system.name}: {latents} latents give {mean:.1f} different responses to a context on average; "
        f"in {same} of {contexts} contexts all {latents} are the same.{noise}"
    )


def compared(systems: Sequence[MeasuredSystem], metric: str, unit: str, word: str, reference: Row | None) -> str:
    """The order of the systems in one metric, of which more means `word`."""
    ordered = sorted(systems, key=lambda system: -system.score(metric))
    values = ", ".join(f"{system.name} {system.score(metric):.2f}{unit}" for system in ordered)
    people = f"; the references {reference.scores[metric].value:.2f}{unit}" if reference else ""
    first, second = ordered[:2]
    if f"{first.score(metric):.2f}" == f"{second.score(metric):.2f}":
        return f"{metric}: {values}{people}. {first.name} and {second.name} are level."
    return f"{metric}: {values}{people}. The responses of {first.name} are {word}."


def closeness(systems: Sequence[MeasuredSystem]) -> str:
    """The lowest bound on perplexity."""
    ordered = sorted(systems, key=lambda system: system.valid.elbo_ppl)
    values = ", ".join(f"{system.name} {system.valid.elbo_ppl:.1f}" for system in ordered)
    if len(ordered) == 1:
        return f"elbo PPL on validation: {values}."
    return f"elbo PPL on validation, lowest first: {values}."


def seeds(systems: Sequence[MeasuredSystem]) -> str:
    """A word of care."""
    used = sorted({system.settings.flag("seed") for system in systems})
    return (
        f"Each system was trained once (seed {', '.join(used)}) and no significance test was made: "
        "a difference in the last digits may be chance."
    )


def picture_of_latents(samples: dict[str, LatentSamples]) -> str:
    """What the colours of the latent picture are, in numbers."""
    sentences = []
    for name, found in samples.items():
        low, high = found.spread("prior")
        sentence = f"{name}: from {_minus(low)} to {_minus(high)} nats a token over the prior's latents"
        flat = high - low < FLAT
        sentences.append(sentence + (": it does not depend on the latent." if flat else f", {high - low:.2f} apart."))
    return " ".join(sentences)


def _minus(value: float) -> str:
    """A number with the sign that a line does not break after."""
    return f"{value:.2f}".replace("-", "\u2212")
