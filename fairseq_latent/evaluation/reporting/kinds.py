"""What a report's page says by what its systems were trained for: responses with a latent, or with personas."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import published_results
from .columns import PERSONAS, RESPONSES, Shown


@dataclass(frozen=True)
class Kind:
    """One of the two.

    lead: what the systems are. shown: the columns of the results. metrics: those of the paper, with their decimals; `ours`:
    where ours of the same name are. compared: metrics of `score` of which the page says who has most, their unit, and what
    most of many, and more of two, is. bounds: fields of LatentStatistics of which it says who has the lowest. answers: how
    sample responses came about.
    """

    lead: str
    shown: Sequence[Shown]
    paper: str
    setting: str
    metrics: Mapping[str, int]
    ours: Mapping[str, tuple[str, str]]
    compared: Sequence[tuple[str, str, str, str]]
    bounds: Sequence[tuple[str, str, str]]
    answers: str
    personas: bool = False

    def place(self, language: str) -> str:
        """Where in the paper the numbers stand."""
        return published_results.BESIDE_PERSONAS if self.personas else published_results.BESIDE[language]

    def reported(self, language: str) -> Mapping[str, published_results.Numbers]:
        """What a run is -> the paper's numbers."""
        if self.personas:
            return {known: published_results.CONVAI2[row] for known, row in published_results.CONVAI2_ROWS.items()}
        return published_results.TABLES[published_results.BESIDE[language]]

    def papers_tables(self) -> Mapping[str, tuple[Sequence[Any], Mapping[str, published_results.Numbers]]]:
        """Label -> columns, rows: all that the paper reports of these."""
        if self.personas:
            return {
                f"{published_results.CHO}, {published_results.BESIDE_PERSONAS}": (
                    published_results.PERSONA_COLUMNS,
                    published_results.CONVAI2,
                )
            }
        return {
            f"{published_results.PAPER}, {label}": (published_results.COLUMNS, rows)
            for label, rows in published_results.TABLES.items()
        }


OF_RESPONSES = Kind(
    lead="Each reads a conversation so far and writes the next response, with a latent variable z for all that the context "
    "leaves open. In training z comes from a posterior, which sees the response; in use it comes from a prior, which sees "
    "the context alone.",
    shown=RESPONSES,
    paper=f"{published_results.PAPER}, {{place}}, {published_results.ADDRESS}",
    setting="Twitter, Transformer-base",
    metrics=published_results.METRICS,
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
    lead="Each reads a conversation so far and writes the next response. A persona model infers from the context what a "
    "speaker is like (the perception variable Zp), and how much of it to take up (the fader). In training Zp comes from "
    "q(Zp|P), which reads a profile, the partner's or, as a control, the speaker's own; in use it comes from the "
    "context alone, and nobody reads a profile.",
    shown=PERSONAS,
    paper=f"{published_results.CHO}, {{place}}, {published_results.CHO_ADDRESS}",
    setting="ConvAI2, 17,878 dialogues, perplexity per subword of each system's own, GoogleNews vectors",
    metrics=published_results.PERSONA_METRICS,
    ours={"PPL": ("test", "prior_ppl")},
    compared=(
        ("Distinct-2", "", "the most varied", "more varied"),
        ("P.Distance", "", "the nearest to the profiles", "nearer to the profiles"),
        ("F1", "", "the closest to the references", "closer to the references"),
    ),
    bounds=(("test", "prior_word_ppl", "prior PPL/word"),),
    answers="A and B speak in turn; every system answers as B, several times: with a latent drawn from its prior where it "
    "has one, and with words drawn at random. ×3: the same words three times.",
    personas=True,
)
