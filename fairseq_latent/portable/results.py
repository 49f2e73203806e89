"""What models say of texts: replies, scores and latents, of a training (`interface`) and of an exported model alike."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Reply:
    """One reply; fader: from 0 to 1, how much of the partner's persona it was to take up, None of models without one.

    score: what it was ranked by, where it was; of an exported model its mean log-probability per token, in nats, where the
    search has one.
    """

    text: str
    fader: float | None = None
    score: float | None = None


@dataclass(frozen=True)
class Scores:
    """Of N pairs, each an array (N,) in nats per response: -log p(response | context, z) of one posterior sample z, and KL.

    prior_nll: the mean over samples of the prior, as decoding samples them. importance_weighted: an upper bound of
    -log p(response | context), tighter the more samples (Burda et al., 2016). tokens: with the end of sentence.
    """

    nll: np.ndarray
    kl: np.ndarray
    tokens: np.ndarray
    prior_nll: np.ndarray | None = None
    importance_weighted: np.ndarray | None = None


@dataclass(frozen=True)
class Latents:
    """Means and log variances, (N, Z) each, of the prior and, if responses were given, of the posterior."""

    prior_mean: np.ndarray
    prior_logvar: np.ndarray
    posterior_mean: np.ndarray | None = None
    posterior_logvar: np.ndarray | None = None
