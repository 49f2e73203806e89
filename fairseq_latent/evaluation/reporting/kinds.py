"""What a report says by what its systems were trained for: responses with a latent, personas, or sentences.

The columns of the results come first: where each number comes from, and what it means in plain words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..metrics.bootstrap import LEVEL
from ..metrics.registry import OTHERS, SCORES, STATISTICS
from ..metrics.system_scores import Row
from ..runs.run_folder import CHECKPOINT, LATENTS_TEST, LATENTS_VALID, LOG, MADE_BY
from ..runs.training_config import TrainingSettings
from ..tables import Column, Estimate, Value
from . import published_results
from .published_results import CHO, CHO_ADDRESS, PAPER, Published
from .systems import MeasuredSystem


@dataclass(frozen=True)
class Shown:
    """A column: a metric of `score` on the test set, a field of LatentStatistics of a split, or a measure of `rank`.

    optional: it takes long or needs more files, and stands in the table where some run has it.
    """

    column: Column
    meaning: str
    score: str | None = None
    extra: str | None = None  # of the score, in place of its value
    statistic: str | None = None
    ranked: str | None = None
    split: str = "valid"
    of_latents: bool = False  # a model without latents has none
    optional: bool = False

    def value(self, row: Row | None, system: MeasuredSystem | None) -> Value:
        """The number of one row; the references have no latent."""
        if self.ranked is not None:
            return system.ranking.get(self.ranked) if system and system.ranking else None
        if self.score is not None:
            return estimate(row, self.score, self.extra)
        found = getattr(system, self.split) if system else None
        if system is None or found is None or (self.of_latents and not system.has_latents):
            return None
        return found.shown(self.statistic)


def estimate(row: Row | None, metric: str, extra: str | None = None) -> Estimate | None:
    """A score with its interval and whether it differs from the baseline's."""
    if row is None or metric not in row.scores:
        return None
    score = row.scores[metric]
    if extra is not None:
        return Estimate(score.extra[extra], None)
    p_values = row.comparison.p_values if row.comparison else {}
    return Estimate(score.value, score.interval, p_values.get(metric, 1.0) < LEVEL, score.extra.get("sd"))


def shown_columns(columns: Sequence[Shown], systems: Sequence[MeasuredSystem]) -> list[Shown]:
    """Without the optional ones that no run has."""
    return [
        shown
        for shown in columns
        if not shown.optional or any(shown.value(system.row, system) is not None for system in systems)
    ]


def _score(name: str, **more) -> Shown:
    return Shown(SCORES[name].column(), SCORES[name].described("test"), score=name, **more)


def _latent(
    name: str, split: str, meaning: str | None = None, header: str | None = None, of: str = "response", **more
) -> Shown:
    shown = {"valid": "validation"}.get(split, split)
    metric = replace(STATISTICS[name], unit=STATISTICS[name].unit.replace("response", of))
    return Shown(metric.column(header), metric.described(shown, meaning), statistic=name, split=split, **more)


RESPONSES = (
    _latent("context_worth", "test", optional=True),
    _score("relevance", optional=True),
    *(_score(name) for name in ("BLEU", "dist-1", "dist-2")),
    *(_latent(name, "valid") for name in ("kl", "rec_ppl", "elbo_ppl")),
    _latent("iw_ppl", "valid", optional=True),
    *(_latent(name, "valid") for name in ("au", "mi")),
    _score("length"),
    _score("duplicates"),
    *(_score(name, optional=True) for name in ("MAUVE", "DialogRPT")),
)
OF_Z = {  # where a latent is of a sentence
    "rec_ppl": "with a latent of the posterior, which has read the sentence: reconstruction.",
    "kl": "how far the posterior of a sentence lies from the prior, a standard normal. 0 means collapse: the latent is not "
    "used.",
    "au": "active units: dimensions whose posterior mean changes with the sentence (variance above 0.01). 0 means collapse.",
    "mi": "how much the latent tells about which sentence it is of, estimated. 0 means nothing; the toss of a coin is 0.69.",
}
SENTENCES = (
    *(_latent(name, "test", OF_Z.get(name), of="sentence") for name in ("rec_ppl", "elbo_ppl")),
    _latent("iw_ppl", "test", of="sentence", optional=True),
    _latent("au", "test", OF_Z["au"], of="sentence"),
    _latent("kl", "test", OF_Z["kl"], header="KL", of="sentence"),
    _latent("mi", "test", OF_Z["mi"], of="sentence"),
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
    _latent("context_worth", "test", optional=True),
    _score("relevance", optional=True),
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
    _score("F1"),
    Shown(OTHERS["hits@1"].column(), OTHERS["hits@1"].described("test"), ranked="Hits@1", optional=True),
    _score("length"),
    _score("duplicates"),
    *(_score(name, optional=True) for name in ("C-score", "MAUVE", "DialogRPT")),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Kind:
    """name: of its files. tasks: of trainings of this kind. heading: of its section, where a page has several.

    lead: what the systems are. shown: the columns of the results. files: of a run that the page reads. paper: where the
    numbers beside ours are from, and how they came about. published: --lang -> the tables of the paper that stand beside
    ours; `ours`: where our number of a metric of theirs is, if it is no score. compared: metrics of `score` of which the
    page says who has most, their unit, and what most of many, and more of two, is. bounds: fields of LatentStatistics of
    which it says who has the lowest. answers: how sample responses came about.
    """

    name: str
    tasks: Sequence[str]
    heading: str
    lead: str
    shown: Sequence[Shown]
    paper: str
    setting: str
    published: Mapping[str, Published]
    ours: Mapping[str, tuple[str, str]]
    bounds: Sequence[tuple[str, str, str]]
    compared: Sequence[tuple[str, str, str, str]] = ()
    answers: str = ""
    files: Sequence[str] = tuple(MADE_BY)

    @property
    def personas(self) -> bool:
        """Whether the latents are of persons."""
        return self is OF_PERSONAS


OF_RESPONSES = Kind(
    name="responses",
    tasks=(),
    heading="Models of responses",
    lead="Each reads a conversation so far and writes the next response, with a latent variable z for all that the context "
    "leaves open. In training z comes from a posterior, which sees the response; in use it comes from a prior, which sees "
    "the context alone.",
    shown=RESPONSES,
    paper=f"{PAPER}, {{place}}, {published_results.ADDRESS}",
    setting="Twitter, Transformer-base",
    published=published_results.BESIDE,
    ours={"KLD": ("valid", "kl")},
    compared=(
        ("dist-2", "%", "the most varied", "more varied"),
        ("BLEU", "", "the closest to the references", "closer to the references"),
    ),
    bounds=(("valid", "elbo_ppl", "elbo PPL"), ("valid", "iw_ppl", "iw PPL")),
    answers="A and B speak in turn; every system answers as B, once for each latent drawn from its prior. ×3: three latents "
    "gave the same words.",
)
OF_PERSONAS = Kind(
    name="personas",
    tasks=("persona_dialogue", "self_play", "persona_receiver"),
    heading="Persona models",
    lead="Each reads a conversation so far and writes the next response. A persona model infers from the context what a "
    "speaker is like (the perception variable Zp), and how much of it to take up (the fader). In training Zp comes from "
    "q(Zp|P), which reads a profile, the partner's or, as a control, the speaker's own; in use it comes from the "
    "context alone, and nobody reads a profile.",
    shown=PERSONAS,
    paper=f"{CHO}, {{place}}, {CHO_ADDRESS}",
    setting="ConvAI2, 17,878 dialogues, perplexity per subword of each system's own, GoogleNews vectors",
    published=published_results.BESIDE_PERSONAS,
    ours={"PPL": ("test", "prior_ppl")},
    compared=(
        ("Distinct-2", "", "the most varied", "more varied"),
        ("P.Distance", "", "the nearest to the profiles", "nearer to the profiles"),
        ("F1", "", "the closest to the references", "closer to the references"),
    ),
    bounds=(("test", "prior_word_ppl", "prior PPL/word"),),
    answers="A and B speak in turn; every system answers as B, several times: with a latent drawn from its prior where it "
    "has one, and with words drawn at random. ×3: the same words three times.",
)
OF_SENTENCES = Kind(
    name="sentences",
    tasks=("text_vae",),
    heading="Autoencoders of sentences",
    lead="Each reads a sentence and writes it again through a latent variable z, which is all that the decoder knows of it. "
    "A decoder that can do without z leaves it unused: the posterior collapses onto the prior, a standard normal.",
    shown=SENTENCES,
    paper=f"{CHO}, {{place}}, {CHO_ADDRESS}",
    setting="Penn Treebank; which perplexity it is the paper does not say, beside it stands rec PPL",
    published=published_results.BESIDE_SENTENCES,
    ours={"PPL": ("test", "rec_ppl"), "AU": ("test", "au"), "KL": ("test", "kl")},
    bounds=(("test", "elbo_ppl", "elbo PPL"), ("test", "iw_ppl", "iw PPL")),
    files=(CHECKPOINT, LOG, LATENTS_VALID, LATENTS_TEST),
)
KINDS = (OF_RESPONSES, OF_PERSONAS, OF_SENTENCES)  # in the order of a page's sections


def kind_of(settings: TrainingSettings | None) -> Kind | None:
    """By the task of a training; None where nothing is known of it."""
    if settings is None:
        return None
    return next((kind for kind in KINDS if settings.task in kind.tasks), OF_RESPONSES)
