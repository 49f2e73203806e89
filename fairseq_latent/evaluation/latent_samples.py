"""Latents of one context-response pair, projected to the plane, each with what the response is worth under it.

The data behind Figure 2 of Sato et al. (2021), https://aclanthology.org/2021.conll-1.16: samples of prior and posterior
by t-SNE, coloured by the log-probability of the reference response.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fairseq_latent.errors import InputError, missing_extra

PERPLEXITY = 30.0  # neighbours that t-SNE looks at; fewer where there are few points
FEWEST = 2


@dataclass(frozen=True)
class LatentSamples:
    """Samples of one model for one pair: `num_prior` of p(z|x) first, then those of q(z|x, y).

    points (N, 2): the projection. log_prob (N,): of the reference under each latent, nats a token. kl: nats, of the pair.
    """

    points: np.ndarray
    log_prob: np.ndarray
    num_prior: int
    kl: float
    tokens: int

    def of(self, kind: str) -> slice:
        """The rows of `prior` or `posterior`."""
        return slice(0, self.num_prior) if kind == "prior" else slice(self.num_prior, None)

    def spread(self, kind: str) -> tuple[float, float]:
        """Least and largest log-probability."""
        values = self.log_prob[self.of(kind)]
        return float(values.min()), float(values.max())


def sample_latents(
    checkpoint: str | Path,
    data: str | Path,
    split: str,
    example: int,
    num_prior: int = 300,
    num_posterior: int = 50,
    seed: int = 1,
    cpu: bool = False,
) -> LatentSamples:
    """Draw latents for one pair, score the reference under each and project all of them together."""
    import torch

    from fairseq_latent.gaussian import seeded_noise

    from .checkpoint import load

    if min(num_prior, num_posterior) < FEWEST:
        raise InputError(f"{num_prior} and {num_posterior} samples are too few for a picture; remedy: {FEWEST} or more")
    _require_tsne()
    trained = load(checkpoint, data, split, seed, cpu)
    batch = trained.examples([example])
    inputs = batch["net_input"]
    with torch.no_grad():
        prior, posterior, decoded = trained.model.distributions(
            inputs["src_tokens"], inputs["prev_output_tokens"], batch["target"]
        )
        seeds = torch.tensor([seed], device=trained.device)
        noise = seeded_noise(seeds, num_prior + num_posterior, prior.mean.size(-1))[0]
        z = torch.cat([prior.rsample(noise[:num_prior]), posterior.rsample(noise[num_prior:])])
        # one pass through the decoder's body serves them all
        nll = torch.cat([decoded.nll(latent) for latent in z.split(1)])
    tokens = len(decoded.words)
    log_prob = (-nll / tokens).double().cpu().numpy()
    return LatentSamples(project(z.cpu().numpy(), seed), log_prob, num_prior, posterior.kl(prior).item(), tokens)


def project(z: np.ndarray, seed: int) -> np.ndarray:
    """(N, Z) -> (N, 2): t-SNE; latents that are all the same stay one point."""
    if not np.ptp(z, axis=0).any():
        return np.zeros((len(z), 2))
    from openTSNE import TSNE

    perplexity = min(PERPLEXITY, (len(z) - 1) / 3)
    return np.asarray(TSNE(perplexity=perplexity, random_state=seed, n_jobs=1).fit(z.astype(np.float64)))


def _require_tsne() -> None:
    """Before a model is loaded: the remedy should not take a minute to appear."""
    try:
        import openTSNE  # noqa: F401
    except ImportError:
        raise missing_extra("openTSNE", "plot") from None
