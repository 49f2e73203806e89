"""A report's tables, and in plain words what their columns mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from .findings import MeasuredSystem
from .score import COLUMNS, Row
from .settings import differences
from .tables import Column

Table = tuple[Sequence[Column], Sequence[Sequence]]


@dataclass(frozen=True)
class Shown:
    """A column of the results: where its number comes from, and what it means in plain words."""

    column: Column
    meaning: str
    score: str | None = None  # name of a metric of `score`, on the test set
    statistic: str | None = None  # name of a LatentStatistics field, on validation

    def value(self, row: Row, system: MeasuredSystem | None) -> float | None:
        """The number of one row; the references have no latent."""
        if self.statistic is not None:
            return getattr(system.valid, self.statistic) if system else None
        return row.scores[self.score].value if self.score in row.scores else None


def _metric(name: str, meaning: str) -> Shown:
    return Shown(Column(name, COLUMNS[name]), meaning, score=name)


def _latent(header: str, decimals: int, statistic: str, meaning: str) -> Shown:
    return Shown(Column(header, decimals), meaning, statistic=statistic)


VARIETY = (
    "test; percent: different words, and different pairs of neighbouring words, among all that were written. Higher is more "
    "varied; no goal by itself, as random words score best. Compare on the same test set only."
)
SHOWN = (
    _metric("BLEU", "test; 0 to 100: how many word sequences a response shares with the one reference. Higher is closer to "
            "it. Many answers are good in a conversation, so values around 1 are usual."),
    _metric("dist-1", VARIETY),
    _metric("dist-2", VARIETY),
    _latent("KLD", 2, "kl", "validation; nats a response: how far the posterior, which has seen the response, lies from the "
            "prior, which has not. 0 means collapse: the latent is not used. Neither end is good: decoding uses the prior, "
            "and far from the posterior the decoder is on ground that it does not know."),
    _latent("rec PPL", 1, "rec_ppl", "validation; perplexity a token with a latent of the posterior, which has seen the "
            "response. Lower is better, but it is reconstruction, not prediction."),
    _latent("elbo PPL", 1, "elbo_ppl", "validation; the same with the KLD paid for: an upper bound of the model's "
            "perplexity. Lower is better."),
    _latent("AU", 0, "au", "validation; active units: latent dimensions whose posterior mean changes with the response "
            "(variance above 0.01). 0 means collapse."),
    _latent("MI", 2, "mi", "validation; nats: how much the latent tells about which pair of context and response it belongs "
            "to, estimated. It may exceed KLD, which counts only what the context does not tell. 0 means nothing; the toss "
            "of a coin is 0.69."),
    _metric("length", "test; words a response. Compare with the reference's."),
)  # fmt: skip
RESULTS = (Column("system"), *(shown.column for shown in SHOWN))
MEANINGS = tuple(
    (", ".join(shown.column.header for shown in alike), meaning)
    for meaning, alike in groupby(SHOWN, lambda shown: shown.meaning)
)


def budget(systems: Sequence[MeasuredSystem]) -> Table:
    """What each training cost, and which checkpoint was measured."""
    headers = ["system", "arch", "criterion", "parameters", "updates", "measured at", "time"]
    rows = [
        [
            system.name,
            system.settings.arch,
            system.settings.criterion,
            f"{system.settings.parameters:,}",
            f"{system.log.updates:,}",
            f"update {system.settings.updates:,}",
            _duration(system.log.seconds or system.settings.seconds),
        ]
        for system in systems
    ]
    return [Column(header) for header in headers], rows


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def flags_that_differ(systems: Sequence[MeasuredSystem]) -> Table:
    """The trainings' flags that are not the same in all of them."""
    rows = [[flag, *values] for flag, values in differences([system.settings for system in systems])]
    return [Column("flag"), *(Column(system.name) for system in systems)], rows


def results(reference: Row, systems: Sequence[MeasuredSystem]) -> Table:
    """Table 1 of Sato et al. (2021), with what validation says of the latent."""
    return RESULTS, [_result(reference, None), *(_result(system.row, system) for system in systems)]


def _result(row: Row, system: MeasuredSystem | None) -> list:
    return [row.name, *(shown.value(row, system) for shown in SHOWN)]
