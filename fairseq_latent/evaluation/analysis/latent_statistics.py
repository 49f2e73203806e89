"""What `fairseq-latent latents` measures of a checkpoint, as it is written, read back and shown."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from fairseq_latent.errors import InputError
from fairseq_latent.text.json_values import OTHER_FORM, number, read_json, text, whole

from ..metrics.bootstrap import interval_over_seeds
from ..metrics.registry import STATISTICS
from ..tables import Column, Estimate, render


@dataclass(frozen=True)
class LatentStatistics:
    """A split's statistics under one posterior sample a sentence.

    kl, mi: nats per sentence. au: dimensions with a posterior mean of variance >= 0.01. rec_ppl = exp(NLL / tokens),
    elbo_ppl = exp((NLL + KL) / tokens), over target tokens with the end of sentence. prior_ppl: the mean of rec_ppl's
    equivalents with a sample of the prior in several passes, all latents inferred from the context alone.
    *_word_ppl: of the same nats, over words between spaces and one more a sentence: what models of other subwords share.
    fader_kl: nats, of the latent beside z where the model has one; it is part of elbo_ppl and iw_ppl, which are no bounds
    there: the decoder is given the posterior's mean itself, which can tell it more than the KL of a noisy one charges.
    iw_ppl: the same of the importance-weighted bound, where it was asked for; elbo_ppl is above it, the model's true
    perplexity below it, and how far depends on K and on how well the posterior fits. It compares prior, posterior and
    decoder by their densities alone, so it is a bound for models without a KL term too (SpaceFusion, with its fixed
    variance, where posteriors may lie so far from the prior that the bound says little).
    other_ppl: rec_ppl's equivalent with the posterior of a stranger's profile, for models whose posterior reads profiles.
    kl, au, mi are None where a report shows a model without a latent.
    worth: nats per response that the right profile saves over that one; worth_over_prior: over the prior of Zp. The fader is
    that of the right profile in all three, and the noise the same. *_low, *_high: 95 % interval over `dialogues`.
    context_worth: nats per response that the context saves over another dialogue's, of like length, with latents of the
    prior; latent_worth: those that the posterior of context and response saves over that of the context and another
    response. The noise is the same in both.
    marginal_kl: kl - mi, nats, of models whose prior is the same for all sentences: KL(q(z) || p(z)) (Hoffman and Johnson,
    2016), what keeps samples of the prior from what the decoder was trained on.
    """

    kl: float | None
    au: int | None
    mi: float | None
    rec_ppl: float
    elbo_ppl: float | None
    sentences: int
    tokens: int
    signature: str
    iw_ppl: float | None = None
    prior_ppl: float | None = None
    prior_word_ppl: float | None = None
    rec_word_ppl: float | None = None
    elbo_word_ppl: float | None = None
    words: int | None = None
    fader_kl: float | None = None
    other_ppl: float | None = None
    other_word_ppl: float | None = None
    worth: float | None = None
    worth_low: float | None = None
    worth_high: float | None = None
    worth_over_prior: float | None = None
    worth_over_prior_low: float | None = None
    worth_over_prior_high: float | None = None
    dialogues: int | None = None
    context_worth: float | None = None
    context_worth_low: float | None = None
    context_worth_high: float | None = None
    latent_worth: float | None = None
    latent_worth_low: float | None = None
    latent_worth_high: float | None = None
    marginal_kl: float | None = None

    def shown(self, name: str) -> Estimate | None:
        """A statistic with its interval, if it has one; None if it was not measured."""
        value, low, high = (getattr(self, each, None) for each in (name, f"{name}_low", f"{name}_high"))
        return None if value is None else Estimate(value, None if low is None or high is None else (low, high))


@dataclass(frozen=True)
class OverSeeds(LatentStatistics):
    """Means of the statistics of several trainings; deviations: their standard deviations, by name."""

    deviations: Mapping[str, float] = field(default_factory=dict)

    def shown(self, name: str) -> Estimate | None:
        """With the standard deviation; the interval is of the mean, over dialogues and seeds."""
        found = super().shown(name)
        return found and replace(found, deviation=self.deviations.get(name))


COUNTED = ("sentences", "tokens", "words", "dialogues")  # of the data


def over_seeds(found: Sequence[LatentStatistics]) -> LatentStatistics:
    """One training's as they are; of several the means of what all of them have."""
    first = found[0]
    if len(found) == 1:
        return first
    means, deviations = {}, {}
    measured = [each.name for each in fields(LatentStatistics) if each.name not in (*COUNTED, "signature")]
    for name in measured:
        values = [value for each in found if (value := getattr(each, name)) is not None]
        if len(values) < len(found):
            means[name] = None
            continue
        means[name], deviations[name] = float(np.mean(values)), float(np.std(values, ddof=1))
    for name in (name for name in measured if f"{name}_low" in measured and means[name] is not None):
        shown = [each.shown(name) for each in found]
        ends = interval_over_seeds([each.value for each in shown], [each.interval for each in shown])
        means[f"{name}_low"], means[f"{name}_high"] = ends or (None, None)
    counts = {name: getattr(first, name) for name in COUNTED}
    signature = f"{first.signature}|seeds:{len(found)}"
    return OverSeeds(**means, **counts, signature=signature, deviations=deviations)


def read_statistics(path: str | Path) -> LatentStatistics:
    """Read back what `fairseq-latent latents --format json` wrote."""
    remedy = f"remedy: fairseq-latent latents … --format json --out {path}"
    try:
        found = LatentStatistics(**read_json(path))
        text(found.signature)
    except OTHER_FORM:
        raise InputError(f"{path}: these are not the statistics of a latent; {remedy}") from None
    for each in fields(found):
        value = getattr(found, each.name)
        try:
            if each.type is not str and (value is not None or not isinstance(None, each.type)):
                (whole if isinstance(0, each.type) else number)(value)
        except OTHER_FORM:
            raise InputError(f"{path}: {each.name}: not a number; {remedy}") from None
    return found


PERPLEXITIES = {
    "prior": "latents of the prior, as in use",
    "rec": "a latent of the posterior: reconstruction",
    "elbo": "the same with the KL: the bound",
    "iw": "importance-weighted bound",
}
WORTH = ("worth", "worth_over_prior")
LISTENING = ("context_worth", "latent_worth")
COLUMNS = {name: metric.column() for name, metric in STATISTICS.items()}  # those that were not asked for are left out
OPTIONAL = ("marginal_kl", "fader_kl", "prior_ppl", "iw_ppl", "other_ppl", "prior_word_ppl", *WORTH, *LISTENING)


def table(name: str, found: LatentStatistics, style: str) -> str:
    """One row."""
    shown = [each for each in COLUMNS if each not in OPTIONAL or getattr(found, each) is not None]
    columns = [Column("model"), *(COLUMNS[each] for each in shown)]
    return render(columns, [[name, *map(found.shown, shown)]], style)


def explained(found: LatentStatistics, printed: float, style: str) -> str:
    """Each perplexity of a checkpoint beside a printed one, nearest first: which of them a paper may mean.

    off: by which factor it is larger or smaller, in percent of the smaller one.
    """
    per_token = {name: getattr(found, f"{name}_ppl") for name in ("prior", "rec", "elbo", "iw")}
    rows = [(PERPLEXITIES[name], "token", value) for name, value in per_token.items() if value is not None]
    if found.words:
        share = found.tokens / found.words
        rows += [(name, "word", math.exp(min(math.log(value) * share, 700.0))) for name, _, value in rows]
    ordered = sorted(rows, key=lambda row: abs(math.log(row[2] / printed)))
    values = [[*row, 100 * (math.exp(min(abs(math.log(row[2] / printed)), 700.0)) - 1)] for row in ordered]
    columns = [Column("perplexity"), Column("per"), Column("here", 2), Column(f"off {printed:g} by %", 1)]
    return render(columns, values, style)
