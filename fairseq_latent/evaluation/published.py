"""Results that papers report, to stand beside one's own: always in a table of their own, never in the same one."""

from .tables import Column

COLUMNS = (Column("system"), Column("BLEU", 2), Column("dist-1", 2), Column("dist-2", 2), Column("KLD", 2))

# Sato et al. (2021), Table 1, English: Twitter, Transformer-base.
SPECULATIVE_ENGLISH = (
    ("Reference", None, 6.20, 41.25, None),
    ("T-CVAE", 0.71, 0.71, 3.55, 0.00),
    ("T-CVAE + cyclical annealing", 0.68, 0.72, 3.68, 0.09),
    ("SpaceFusion", 0.76, 0.60, 2.87, None),
    ("T-CVAE + bag of words", 0.30, 1.58, 10.99, 24.04),
    ("T-CVAE + Monte Carlo, K = 5", 0.09, 3.02, 21.54, 9.81),
    ("T-CVAE + speculative, K = 2", 0.62, 0.76, 4.31, 0.75),
    ("T-CVAE + speculative, K = 5", 0.51, 0.89, 5.48, 1.96),
    ("T-CVAE + speculative, K = 10", 0.47, 0.90, 6.06, 2.77),
    ("T-CVAE + speculative, K = 20", 0.43, 0.96, 6.74, 3.53),
    ("T-CVAE + speculative, K = 40", 0.41, 0.98, 7.03, 3.98),
)
