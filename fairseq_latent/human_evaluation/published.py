"""Human ratings that papers report, to stand beside one's own: other data, larger models, other raters."""

from dataclasses import dataclass

REFERENCE = "Reference"


@dataclass(frozen=True)
class Published:
    """A paper's table. values: system -> a mean for each of `criteria`. agreement: what it says of it."""

    paper: str
    criteria: tuple[str, ...]
    decimals: int
    values: dict[str, tuple[float, ...]]
    agreement: str
    correlation: float  # of two raters, as far as the paper tells: what a plan without a pilot takes


SATO = Published(  # Japanese tweets, 100 contexts
    "Sato et al. (2021), Table 3",
    ("Sensibleness", "Specificity", "Avg."),
    2,
    {
        REFERENCE: (4.67, 4.33, 4.50),
        "T-CVAE": (3.58, 1.35, 2.46),
        "T-CVAE + cyclical annealing": (3.58, 1.29, 2.44),
        "SpaceFusion": (3.66, 1.42, 2.54),
        "T-CVAE + bag of words": (3.04, 1.58, 2.31),
        "T-CVAE + Monte Carlo": (1.42, 0.70, 1.06),
        "T-CVAE + speculative": (3.94, 1.52, 2.73),
    },
    "Pearson .69 between evaluators",
    0.69,
)
CHO = Published(  # ConvAI2, 50 dialogues, six raters
    "Cho et al. (2022), Table 1",
    ("Coherence", "Engagingness", "Persona relevancy"),
    3,
    {
        "HRED": (0.657, 0.703, 0.670),
        "CVAE": (0.557, 0.673, 0.523),
        "TransferTransfo": (0.840, 0.703, 0.877),
        "DialoGPT": (1.037, 0.883, 0.900),
        "P²BOT": (0.953, 0.920, 0.873),
        "the paper's model": (1.177, 1.203, 1.207),
    },
    "Fleiss' kappa around 0.33",
    0.33,
)
PAPERS = {"sensibleness-specificity": SATO, "persona": CHO}  # by protocol
