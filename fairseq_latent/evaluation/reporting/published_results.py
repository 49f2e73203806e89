"""Results that papers report, to stand beside one's own, always marked as theirs: other data, larger models."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..tables import Column

PAPER = "Sato et al. (2021)"
ADDRESS = "aclanthology.org/2021.findings-emnlp.407"
REFERENCE = "Reference"
METRICS = {"BLEU": 2, "dist-1": 2, "dist-2": 2, "KLD": 2}  # name -> decimals, in the order of the numbers below

Numbers = tuple[float | None, ...]


@dataclass(frozen=True)
class Published:
    """A table of a paper: `place` in it, its metrics with their decimals, and its rows.

    runs: what a run is, as `method_names.described` says it -> its row. also: further tables of the paper, place -> rows.
    """

    paper: str
    place: str
    metrics: Mapping[str, int]
    rows: Mapping[str, Numbers]
    runs: Mapping[str, str]
    also: Mapping[str, Mapping[str, Numbers]] = field(default_factory=dict)

    def numbers(self, known: str | None) -> Numbers | None:
        """Those of what a run is."""
        return self.rows.get(self.runs.get(known or "", ""))

    @property
    def columns(self) -> tuple[Column, ...]:
        """Of the table as the paper has it."""
        return (Column("system"), *(Column(name, decimals) for name, decimals in self.metrics.items()))

    def tables(self) -> dict[str, Mapping[str, Numbers]]:
        """Label -> rows: this table, and further ones."""
        return {f"{self.paper}, {place}": rows for place, rows in {self.place: self.rows, **self.also}.items()}


# What a run is, as `method_names.described` says it -> the paper's numbers. Transformer-base on Twitter.
ENGLISH: dict[str, Numbers] = {  # Table 1
    REFERENCE: (None, 6.20, 41.25, None),
    "T-CVAE": (0.71, 0.71, 3.55, 0.00),
    "T-CVAE + cyclical annealing": (0.68, 0.72, 3.68, 0.09),
    "SpaceFusion": (0.76, 0.60, 2.87, None),
    "T-CVAE + bag of words": (0.30, 1.58, 10.99, 24.04),
    "T-CVAE + Monte Carlo, K = 5": (0.09, 3.02, 21.54, 9.81),
    "T-CVAE + speculative, K = 2": (0.62, 0.76, 4.31, 0.75),
    "T-CVAE + speculative, K = 5": (0.51, 0.89, 5.48, 1.96),
    "T-CVAE + speculative, K = 10": (0.47, 0.90, 6.06, 2.77),
    "T-CVAE + speculative, K = 20": (0.43, 0.96, 6.74, 3.53),
    "T-CVAE + speculative, K = 40": (0.41, 0.98, 7.03, 3.98),
}
JAPANESE: dict[str, Numbers] = {  # Table 2
    REFERENCE: (None, 4.11, 30.60, None),
    "T-CVAE": (2.48, 1.14, 4.24, 0.00),
    "T-CVAE + cyclical annealing": (2.73, 1.19, 4.24, 0.09),
    "SpaceFusion": (2.86, 1.50, 4.74, None),
    "T-CVAE + bag of words": (1.97, 1.56, 8.74, 24.07),
    "T-CVAE + Monte Carlo, K = 5": (0.53, 1.79, 18.25, 11.83),
    "T-CVAE + speculative, K = 2": (2.69, 1.28, 4.95, 0.62),
    "T-CVAE + speculative, K = 5": (2.91, 1.57, 6.48, 1.57),
    "T-CVAE + speculative, K = 10": (2.70, 1.54, 7.00, 2.19),
    "T-CVAE + speculative, K = 20": (2.40, 1.51, 7.28, 2.91),
    "T-CVAE + speculative, K = 40": (2.38, 1.55, 7.75, 3.24),
}
TABLES = {"Table 1, English": ENGLISH, "Table 2, Japanese": JAPANESE}


def _of_responses(place: str) -> Published:
    rows = TABLES[place]
    also = {other: TABLES[other] for other in TABLES if other != place}
    return Published(PAPER, place, METRICS, rows, {name: name for name in rows}, also)


_ENGLISH, _JAPANESE = map(_of_responses, TABLES)
BESIDE = {"en": _ENGLISH, "ja": _JAPANESE, "zh": _ENGLISH, "none": _ENGLISH}  # by --lang

# Cho et al. (2022), Table 3, Penn Treebank: perplexity (of what is not said), active units, KL cost on the test set.
CHO = "Cho et al. (2022)"
CHO_ADDRESS = "arxiv.org/abs/2204.07372"
PENN_TREEBANK: dict[str, tuple[float, int, float]] = {
    "Standard": (58.391, 0, 0.049),
    "+ KL annealing": (53.564, 3, 2.508),
    "+ cyclical annealing": (51.547, 2, 3.767),
    "+ aggressive training": (50.000, 6, 5.320),
    "+ bag of words": (48.637, 11, 11.165),
    "+ L_Po-di, λ = .12": (48.467, 13, 14.727),
    "+ L_Po-di, λ = .15": (47.674, 14, 16.096),
    "+ L_Po-di, λ = .18": (45.925, 14, 22.047),
    "+ L_Po-di, λ = .21": (46.883, 14, 25.126),
}

# Cho et al. (2022), Table 1, ConvAI2: perplexity (each system's own subwords), Distinct-1, Distinct-2, P.Distance.
CONVAI2: dict[str, tuple[float, float, float, float]] = {
    "HRED": (21.095, 0.078, 0.225, 0.246),
    "CVAE": (19.501, 0.116, 0.405, 0.258),
    "TransferTransfo": (18.011, 0.142, 0.400, 0.329),
    "DialoGPT": (14.966, 0.139, 0.417, 0.359),
    "P²BOT": (16.620, 0.083, 0.268, 0.370),
    "the paper's model": (15.671, 0.167, 0.538, 0.401),
}
CONVAI2_ROWS = {  # what a run is, as `method_names.described` says it -> its row there
    "HRED": "HRED",
    "RNN CVAE + linear annealing + bag of words (bow target tokens, bow hidden dim 400)": "CVAE",
    "TransferTransfo": "TransferTransfo",
    "TransferTransfo + lm weight 2.0": "TransferTransfo",  # by the recipe of its authors
    "DialoGPT": "DialoGPT",
    "P²BOT": "P²BOT",
    "persona CVAE + L_Po-di": "the paper's model",
}
PERSONA_METRICS = {"PPL": 3, "Distinct-1": 3, "Distinct-2": 3, "P.Distance": 3}
_CONVAI2 = Published(CHO, "Table 1, ConvAI2", PERSONA_METRICS, CONVAI2, CONVAI2_ROWS)
BESIDE_PERSONAS = dict.fromkeys(BESIDE, _CONVAI2)

TREEBANK_METRICS = {"PPL": 2, "AU": 0, "KL": 2}
_PODI = "GRU-VAE + L_Po-di"  # its target is .15 by default
TREEBANK_ROWS = {  # what a run is -> its row there
    "GRU-VAE": "Standard",
    "GRU-VAE + linear annealing": "+ KL annealing",
    "GRU-VAE + cyclical annealing": "+ cyclical annealing",
    "GRU-VAE + aggressive training": "+ aggressive training",
    "GRU-VAE + bag of words (bow target tokens, bow hidden dim 400)": "+ bag of words",
    f"{_PODI} (podi target 0.12)": "+ L_Po-di, λ = .12",
    _PODI: "+ L_Po-di, λ = .15",
    f"{_PODI} (podi target 0.18)": "+ L_Po-di, λ = .18",
    f"{_PODI} (podi target 0.21)": "+ L_Po-di, λ = .21",
}
_TREEBANK = Published(CHO, "Table 3, Penn Treebank", TREEBANK_METRICS, PENN_TREEBANK, TREEBANK_ROWS)
BESIDE_SENTENCES = dict.fromkeys(BESIDE, _TREEBANK)
