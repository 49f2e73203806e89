"""The columns of a report's results: where each number comes from, and what it means in plain words."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..metrics.bootstrap import LEVEL
from ..metrics.registry import OTHERS, SCORES, STATISTICS
from ..metrics.system_scores import Row
from ..tables import Column, Estimate, Value
from .collect import MeasuredSystem


@dataclass(frozen=True)
class Shown:
    """A column: a metric of `score` on the test set, or a field of LatentStatistics of a split.

    optional: it takes long or needs more files, and stands in the table where some run has it.
    """

    column: Column
    meaning: str
    score: str | None = None
    extra: str | None = None  # of the score, in place of its value
    statistic: str | None = None
    split: str = "valid"
    of_latents: bool = False  # a model without latents has none
    optional: bool = False

    def value(self, row: Row | None, system: MeasuredSystem | None) -> Value:
        """The number of one row; the references have no latent."""
        if self.statistic is None:
            return estimate(row, self.score, self.extra)
        found = getattr(system, self.split) if system else None
        if found is None or (self.of_latents and not system.has_latents):
            return None
        return found.shown(self.statistic)


def estimate(row: Row | None, metric: str, extra: str | None = None) -> Estimate | None:
    """A score with its interval and whether it differs from the baseline's."""
    if row is None or metric not in row.scores:
        return None
    if extra is not None:
        return Estimate(row.scores[metric].extra[extra], None)
    p_values = row.comparison.p_values if row.comparison else {}
    return Estimate(row.scores[metric].value, row.scores[metric].interval, p_values.get(metric, 1.0) < LEVEL)


def shown_columns(columns: Sequence[Shown], systems: Sequence[MeasuredSystem]) -> list[Shown]:
    """Without the optional ones that no run has."""
    return [
        shown
        for shown in columns
        if not shown.optional or any(shown.value(system.row, system) is not None for system in systems)
    ]


def _score(name: str, **more) -> Shown:
    return Shown(SCORES[name].column(), SCORES[name].described("test"), score=name, **more)


def _latent(name: str, split: str, meaning: str | None = None, header: str | None = None, **more) -> Shown:
    shown = {"valid": "validation"}.get(split, split)
    metric = STATISTICS[name]
    return Shown(metric.column(header), metric.described(shown, meaning), statistic=name, split=split, **more)


RESPONSES = (
    *(_score(name) for name in ("BLEU", "dist-1", "dist-2")),
    *(_latent(name, "valid") for name in ("kl", "rec_ppl", "elbo_ppl")),
    _latent("iw_ppl", "valid", optional=True),
    *(_latent(name, "valid") for name in ("au", "mi")),
    _score("length"),
)
OF_ZP = {  # where a latent is of a person, and not of a response
    "rec_word_ppl": "with Zp of the profile, and the fader of profile and response: below prior PPL by what these two "
    "tell of the response.",
    "kl": "how far q(Zp|P), which reads a profile, lies from p(Zp|C), which reads the context; in a model whose latent is "
    "of the response, the posterior from the prior. 0 means collapse.",
    "au": "active units: dimensions of Zp whose mean changes with the profile (variance above 0.01).",
    "mi": "how much a sample of q(Zp|P) tells about which profile it is of. The toss of a coin is 0.69.",
}
PERSONAS = (
    _latent("prior_word_ppl", "test"),
    *(_latent(name, "test", OF_ZP.get(name), of_latents=True) for name in ("rec_word_ppl", "worth", "worth_over_prior")),
    _latent("kl", "test", OF_ZP["kl"], header="KL", of_latents=True),
    *(_latent(name, "test", OF_ZP.get(name), of_latents=True) for name in ("fader_kl", "au", "mi")),
    *(_score(name) for name in ("Distinct-1", "Distinct-2")),
    _score("P.Distance", optional=True),
    Shown(
        OTHERS["to_other_profiles"].column(), OTHERS["to_other_profiles"].described("test"), score="P.Distance",
        extra="to_other_profiles", optional=True,
    ),
    *(_score(name) for name in ("F1", "length")),
)  # fmt: skip
