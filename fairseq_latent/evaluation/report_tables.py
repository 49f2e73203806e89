"""A report's tables, and in plain words what their columns mean."""

from collections.abc import Sequence

from .findings import MeasuredSystem
from .score import Row
from .settings import differences
from .tables import Column

Table = tuple[Sequence[Column], Sequence[Sequence]]

RESULTS = (
    *(Column("system"), Column("BLEU", 2), Column("dist-1", 2), Column("dist-2", 2), Column("KLD", 2)),
    *(Column("rec PPL", 1), Column("elbo PPL", 1), Column("AU", 0), Column("MI", 2), Column("length", 1)),
)
MEANINGS = (
    ("BLEU", "test; 0 to 100: how many word sequences a response shares with the one reference. Higher is closer to it. "
     "Many answers are good in a conversation, so values around 1 are usual."),
    ("dist-1, dist-2", "test; percent: different words, and different pairs of neighbouring words, among all that were "
     "written. Higher is more varied; no goal by itself, as random words score best. Compare on the same test set only."),
    ("KLD", "validation; nats a response: how far the posterior, which has seen the response, lies from the prior, which "
     "has not. 0 means collapse: the latent is not used. Neither end is good: decoding uses the prior, and far "
     "from the posterior the decoder is on ground that it does not know."),
    ("rec PPL", "validation; perplexity a token with a latent of the posterior, which has seen the response. Lower is "
     "better, but it is reconstruction, not prediction."),
    ("elbo PPL", "validation; the same with the KLD paid for: an upper bound of the model's perplexity. Lower is better."),
    ("AU", "validation; active units: latent dimensions whose posterior mean changes with the response (variance above "
     "0.01). 0 means collapse."),
    ("MI", "validation; nats: how much the latent tells about which pair of context and response it belongs to, estimated. "
     "It may exceed KLD, which counts only what the context does not tell. 0 means nothing; the toss of a coin is 0.69."),
    ("length", "test; words a response. Compare with the reference's."),
)  # fmt: skip


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
    scores = {name: score.value for name, score in row.scores.items()}
    found = system.valid if system else None
    latent = [found.kl, found.rec_ppl, found.elbo_ppl, found.au, found.mi] if found else [None] * 5
    return [row.name, *map(scores.get, ("BLEU", "dist-1", "dist-2")), *latent, scores["length"]]
