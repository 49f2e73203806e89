"""One file a criterion; importing it registers the criterion."""

from . import bow_elbo, double_heads, elbo, mc_elbo, podi_elbo, receiver_margin, spacefusion, speculative_elbo  # noqa: F401
