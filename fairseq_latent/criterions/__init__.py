"""One file a criterion; importing it registers the criterion."""

from . import (  # noqa: F401
    bow_elbo,
    double_heads,
    elbo,
    mc_elbo,
    podi_elbo,
    receiver_margin,
    self_play,
    spacefusion,
    speculative_elbo,
)
