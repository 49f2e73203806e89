"""Says in words what a report's numbers say, and nothing that they don't: every sentence is computed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fairseq_latent.compat.budget import cut_short

from ..analysis.latent_samples import LatentSamples
from ..analysis.latent_statistics import LatentStatistics
from ..metrics.listening import Answer, answer
from ..metrics.system_scores import Row
from ..runs.side_by_side import distinct_responses
from ..tables import Estimate, decimal
from .comparisons import FEW, closeness, compared, listed, rising_k
from .kinds import OF_SENTENCES, Kind
from .systems import MeasuredSystem, trainings

COIN = math.log(2)  # nats of a fair coin's toss: a yardstick for readers who don't think in nats
FLAT = 0.005  # nats per token: less is nothing in two decimals
FEWEST_DIALOGUES = 10  # of an interval over dialogues that says anything


@dataclass(frozen=True)
class Findings:
    """What concerns all systems, and what concerns one each, where there are too many to read at once."""

    all: list[str]
    each: list[str]


def findings(kind: Kind, systems: Sequence[MeasuredSystem], reference: Row | None) -> Findings:
    """One sentence or two a point, the latent first."""
    if kind.personas:
        known = [system for system in systems if system.has_latents]
        single = [perceived(system) for system in known if system.test and system.test.fader_kl is not None]
        single += [latent(system) for system in known if system.valid and system.valid.fader_kl is None]
    elif kind is OF_SENTENCES:
        single = [latent(system, "sentence") for system in systems if system.valid]
    else:
        single = [latent(system) for system in systems if system.valid]
        single += [sampled(system) for system in systems if _several_answers(system)]
    points, each = (single, []) if len(systems) <= FEW or kind.personas else (collapse(systems), single)
    scored = [system for system in systems if system.row]
    for metric, unit, most, more in kind.compared:
        there = [system for system in scored if metric in system.row.scores]
        if len(there) > 1 and len(there) == len(scored):
            points.append(compared(there, metric, unit, most if len(there) > 2 else more, reference))
    points += rising_k(systems)
    points += closeness(systems, kind.bounds)
    return Findings([*points, *unfinished(systems), *still_rising(systems), *care(systems)], each)


def listening(systems: Sequence[MeasuredSystem], reference: Row | None) -> list[Answer]:
    """Does it listen? For each system of which anything was measured that tells."""
    people = reference.scores.get("relevance") if reference else None
    answers = []
    for system in systems:
        scores = system.row.scores if system.row else {}
        relevance, duplicates = scores.get("relevance"), scores.get("duplicates")
        found = answer(
            system.name,
            system.test.shown("context_worth") if system.test else None,
            relevance and Estimate(relevance.value, relevance.interval),
            people and people.value,
            duplicates and duplicates.value,
        )
        if found.verdict is not None:
            answers.append(found)
    return answers


def from_elsewhere(systems: Sequence[MeasuredSystem]) -> list[str]:
    """Systems that were not trained here: where their responses are from, and how they were sampled."""
    sentences = []
    for system in systems:
        if system.run.outside:
            files = listed([str(training.run.folder) for training in system.trainings])
            how = system.row.settings if system.row else None
            sentences.append(
                f"{system.name} was not trained here: its responses are those of {files}"
                f"{f', decoded with {how}' if how else ''}."
            )
    return sentences


def perceived(system: MeasuredSystem) -> str:
    """What Zp knows of the person whose profile it was inferred from, and whether that is more than chance."""
    found = system.test
    measured = (
        f"KL(Zp) {decimal(found.kl, 2)} nats, MI {decimal(found.mi, 2)} nats, {found.au:.3g} dimensions active on test"
    )
    if not found.au:
        state = "Zp has collapsed: it is alike for all profiles."
    else:
        state = f"Zp tells profiles apart: MI is {compare_with_coin(found.mi)}."
    return " ".join([f"{system.name}: {measured}. {state}", *_worth(found)])


def _worth(found: LatentStatistics) -> list[str]:
    """One sentence where it was measured."""
    if found.worth is None:
        return []
    saved = f"The right profile saves {found.worth:+.2f} nats per response over a stranger's".replace("-", "\u2212")
    if found.worth_low is None:
        return [f"{saved}."]
    if found.dialogues is not None and found.dialogues < FEWEST_DIALOGUES:
        return [f"{saved}, over {found.dialogues} dialogues: too few to say whether that is more than chance."]
    low, high = (f"{value:+.2f}".replace("-", "\u2212") for value in (found.worth_low, found.worth_high))
    told = "which is within the noise" if found.worth_low <= 0 <= found.worth_high else "more than chance"
    return [f"{saved} (95 % interval {low} to {high}): {told}."]


def collapse(systems: Sequence[MeasuredSystem]) -> list[str]:
    """Which posteriors have collapsed, of many."""
    known = [system for system in systems if system.valid and system.has_latents]
    kinds = {
        "collapsed onto the prior (no dimension active)": [s for s in known if not s.valid.au and not _apart(s)],
        "apart from the prior, but alike for all responses (no dimension active)": [
            s for s in known if not s.valid.au and _apart(s)
        ],
        "used (some dimension is active)": [s for s in known if s.valid.au],
    }
    parts = [f"{kind}: {listed([_with_kl(system) for system in found])}" for kind, found in kinds.items() if found]
    return [f"The latent is {'. It is '.join(parts)}."] if parts else []


def _apart(system: MeasuredSystem) -> bool:
    return system.valid.kl is None or system.valid.kl >= COIN


def _with_kl(system: MeasuredSystem) -> str:
    return system.name if system.valid.kl is None else f"{system.name} (KLD {system.valid.kl:.2f})"


def latent(system: MeasuredSystem, of: str = "response") -> str:
    """Whether the posterior has collapsed, and how much the latent carries of each response, or sentence."""
    found = system.valid
    if not system.has_latents:
        return (
            f"{system.name} has no latent: its perplexities are of the model itself, no bounds, and its responses to a "
            "context differ by sampling alone."
        )
    size = system.settings.flags.get("latent_dim") if system.settings else None
    of_all = f" of {size}" if size else ""
    carried = f"MI {decimal(found.mi, 2)} nats, {found.au:.3g}{of_all} dimensions active"
    if found.kl is None:
        return (
            f"{system.name}: {carried}. It has no KLD: prior and "
            "posterior are points with one small variance, which training draws together by their distance."
        )
    beyond = "beyond the context, " if of == "response" else ""
    on_test = f" ({decimal(system.test.kl, 2)} on test)" if system.test else ""
    measured = f"KLD {decimal(found.kl, 2)} nats{on_test}, {carried}"
    if found.au:
        return (
            f"{system.name}: {measured}. The posterior has not collapsed: {beyond}up to {decimal(found.kl, 2)} nats "
            f"about the {of} pass through the latent ({compare_with_coin(found.kl)})."
        )
    if found.kl < COIN:
        return (
            f"{system.name}: {measured}. The posterior has collapsed onto the prior: "
            f"the latent carries next to nothing about the {of}."
        )
    return (
        f"{system.name}: {measured}. The posterior lies apart from the prior, but its mean is the same for all {of}s: "
        "the latent tells them apart no better than a collapsed one."
    )


def compare_with_coin(nats: float) -> str:
    """A yardstick: ln 2 nats."""
    relation = "less than" if nats < COIN else "more than"
    return f"{relation} the toss of a coin, {COIN:.2f}"


def sampled(system: MeasuredSystem) -> str:
    """How much the latent changes what is said, in all trainings of the system."""
    samples = [generation for training in _several_answers(system) for generation in training.samples]
    mean, same = distinct_responses(samples)
    latents, contexts = len(samples[0].hypotheses), len(samples)
    noise, drawn = "", "latents"
    every = "both" if latents == 2 else f"all {latents}"
    if not system.has_latents:
        drawn = "samples"
    elif system.valid and not system.valid.au and mean > 1:
        noise = " As the latent carries nothing, this variety is noise, not a choice among answers."
    return (
        f"{system.name}: {latents} {drawn} give {mean:.1f} different responses to a context on average; "
        f"in {same} of {contexts} contexts {every} are the same.{noise}"
    )


def _several_answers(system: MeasuredSystem) -> list[MeasuredSystem]:
    """The trainings that gave as many responses as the first of these to each context, and more than one."""
    found = [training for training in system.trainings if training.samples]
    counts = [len(training.samples[0].hypotheses) for training in found]
    return [each for each, count in zip(found, counts, strict=True) if count == counts[0] > 1]


def unfinished(systems: Sequence[MeasuredSystem]) -> list[str]:
    """Trainings that did not use up their updates: numbers of unequal budgets don't compare."""
    found = []
    for system in trainings(systems):
        wanted = system.settings and system.settings.number("max_update")
        if system.log and wanted and system.log.updates < wanted:
            found.append(f"{system.name} at {system.log.updates:,} of {wanted:,.0f}")
    return [f"Trained for fewer updates than asked, killed or stopped early: {listed(found)}."] if found else []


def still_rising(systems: Sequence[MeasuredSystem]) -> list[str]:
    """Trainings that ended before their learning rate or KL weight had reached its peak: their numbers say little."""
    found: dict[str, list[str]] = {}
    for system in trainings(systems):
        if system.settings:
            updates = system.log.updates if system.log else system.settings.updates
            for rise in cut_short(system.settings.flags, updates):
                at = f"{system.name} at {rise.at(updates):.0%} ({updates:,} updates, {rise.flag} {rise.updates:,})"
                found.setdefault(rise.what, []).append(at)
    return [f"Trained with a {what} that never reached its peak: {listed(names)}." for what, names in found.items()]


def care(systems: Sequence[MeasuredSystem]) -> list[str]:
    """What the intervals and tests do not say."""
    known = [system for system in systems if system.settings and not system.seeds]
    if not known:
        return []
    seeds = sorted({system.settings.flag("seed") for system in known}, key=lambda seed: (len(seed), seed))
    tested = any(score.interval for system in known if system.row for score in system.row.scores.values())
    words = (
        "intervals and tests say what other test contexts could change, not what another training could"
        if tested
        else "and no significance test was made: a difference in the last digits may be chance"
    )
    who = "Each system was" if len(known) == len(systems) else f"{listed([system.name for system in known])}:"
    once = f"{who} trained once (seed {', '.join(seeds)}){':' if tested else ''} {words}."
    return [once, *_trained_again(known)]


def seeds_of(systems: Sequence[MeasuredSystem]) -> list[str]:
    """Which trainings a system's numbers are means of, and what else differs in them."""
    sentences = []
    for system in systems:
        if system.seeds:
            names = listed([f"{training.seed or 'unknown'} ({training.run.folder.name})" for training in system.seeds])
            differ = f" They differ in {', '.join(system.differ)}, too." if system.differ else ""
            sentences.append(
                f"{system.name} was trained with {len(system.seeds)} seeds, {names}: its numbers are means over them, its "
                f"intervals and tests say what other contexts and other seeds could change; its samples and pictures are of "
                f"the first.{differ}"
            )
    return sentences


def _trained_again(systems: Sequence[MeasuredSystem]) -> list[str]:
    """Systems that are one training with several seeds."""
    groups: dict[tuple, list[MeasuredSystem]] = {}
    for system in systems:
        flags = {name: value for name, value in system.settings.flags.items() if name != "seed"}
        key = (system.settings.arch, system.settings.criterion, *sorted(flags.items()))
        groups.setdefault(key, []).append(system)
    sentences = []
    for group in groups.values():
        if len({system.settings.flag("seed") for system in group}) > 1:
            names = " and ".join(f"{system.name} (seed {system.settings.flag('seed')})" for system in group)
            sentences.append(f"{names} differ in nothing but the seed: what lies between them is chance.")
    return sentences


def picture_of_latents(samples: Mapping[str, LatentSamples]) -> str:
    """What the colours of the latent picture are, in numbers."""
    spreads = {name: found.spread("prior") for name, found in samples.items()}
    if len(spreads) > FEW:
        widths = listed([f"{name} {high - low:.2f}" for name, (low, high) in spreads.items()])
        return f"Over the prior's latents it varies, in nats per token, by {widths}."
    sentences = []
    for name, (low, high) in spreads.items():
        sentence = f"{name}: from {_minus(low)} to {_minus(high)} nats per token over the prior's latents"
        flat = high - low < FLAT
        sentences.append(sentence + (": it does not depend on the latent." if flat else f", {high - low:.2f} apart."))
    return " ".join(sentences)


def _minus(value: float) -> str:
    """A number with the sign that a line does not break after."""
    return f"{value:.2f}".replace("-", "\u2212")
