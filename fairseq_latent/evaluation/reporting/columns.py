"""The columns of a report's results: where each number comes from, and what it means in plain words."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..metrics.bootstrap import LEVEL
from ..metrics.system_scores import COLUMNS, Row
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


def _metric(name: str, meaning: str, **more) -> Shown:
    return Shown(Column(name, COLUMNS[name]), meaning, score=name, **more)


def _latent(header: str, decimals: int, statistic: str, meaning: str, **more) -> Shown:
    return Shown(Column(header, decimals), meaning, statistic=statistic, **more)


VARIETY = (
    "test; percent: different words, and different pairs of neighbouring words, among all that were written. Higher is more "
    "varied; no goal by itself, as random words score best. Compare on the same test set only."
)
LENGTH = _metric("length", "test; words a response. Compare with the reference's.")
RESPONSES = (
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
    _latent("iw PPL", 1, "iw_ppl", "validation; the same from several latents a response, weighted by their importance: a "
            "tighter bound, nearer to the model's perplexity. Lower is better.", optional=True),
    _latent("AU", 0, "au", "validation; active units: latent dimensions whose posterior mean changes with the response "
            "(variance above 0.01). 0 means collapse."),
    _latent("MI", 2, "mi", "validation; nats: how much the latent tells about which pair of context and response it belongs "
            "to, estimated. It may exceed KLD, which counts only what the context does not tell. 0 means nothing; the toss "
            "of a coin is 0.69."),
    LENGTH,
)  # fmt: skip

DISTINCT = (
    "test; different words, and different pairs of neighbouring words, per word that was written, of each context's first "
    "response, of its second, and so on, and the mean of these. Higher is more varied. The share falls with the amount of "
    "text: compare on the same test set only."
)
PERSONAS = (
    _latent("prior PPL/word", 2, "prior_word_ppl", "test; perplexity a word, and one end a response, with everything "
            "inferred from the context alone, as in use: the paper's setting, over words so that models of other subwords "
            "compare. Lower is better.", split="test"),
    _latent("rec PPL/word", 2, "rec_word_ppl", "test; the same with Zp of the profile, and the fader of profile and "
            "response: below prior PPL by what these two tell of the response.", split="test", of_latents=True),
    _latent("worth", 2, "worth", "test; nats a response that the right profile saves over a stranger's, with half of the "
            "95 % interval over dialogues: what Zp knows of this person. 0 means nothing.", split="test", of_latents=True),
    _latent("over prior", 2, "worth_over_prior", "test; nats a response that Zp of the right profile saves over Zp inferred "
            "from the context.", split="test", of_latents=True),
    _latent("KL", 2, "kl", "test; nats a response: how far q(Zp|P), which reads a profile, lies from p(Zp|C), which reads "
            "the context; in a model whose latent is of the response, the posterior from the prior. 0 means collapse.",
            split="test", of_latents=True),
    _latent("fader KL", 2, "fader_kl", "test; nats a response: how far the fader that the context suggests lies from the "
            "similarity of profile and response.", split="test", of_latents=True),
    _latent("AU", 0, "au", "test; active units: dimensions of Zp whose mean changes with the profile (variance above 0.01).",
            split="test", of_latents=True),
    _latent("MI", 2, "mi", "test; nats: how much a sample of q(Zp|P) tells about which profile it is of. The toss of a coin "
            "is 0.69.", split="test", of_latents=True),
    _metric("Distinct-1", DISTINCT),
    _metric("Distinct-2", DISTINCT),
    _metric("P.Distance", "test; how near the keywords of the other party's profile are to those of the response, by word "
            "vectors. Higher is closer, whatever its name. Other vectors, other values.", optional=True),
    Shown(Column("to others", COLUMNS["P.Distance"]), "test; P.Distance of the same responses and other people's profiles: "
          "what any words are worth.", score="P.Distance", extra="to_other_profiles", optional=True),
    _metric("F1", "test; percent of words shared with the one reference, as ParlAI counts them. Higher is closer to it."),
    LENGTH,
)  # fmt: skip
