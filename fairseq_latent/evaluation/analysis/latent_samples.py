"""Latents of one context-response pair, projected to the plane, each with what the response is worth under it.

The data behind Figure 2 of Sato et al. (2021, https://aclanthology.org/2021.findings-emnlp.407): samples of prior and
posterior by t-SNE, a map for each model and pair, coloured by the log-probability of the reference response.
"""

import argparse
import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fairseq_latent.errors import InputError, missing_extra
from fairseq_latent.memory import require_memory

from ..runs.run_folder import CHECKPOINT, RunFolder

PERPLEXITY = 30.0  # neighbours that t-SNE looks at; fewer where there are few points
FEWEST = 2


@dataclass(frozen=True)
class LatentSamples:
    """Samples of one model for one pair: `num_prior` of p(z|x) first, then those of q(z|x, y).

    points (N, 2): the projection. log_prob (N,): of the reference under each latent, nats per token; `tokens` of them, with
    the end of sentence, make the reference. kl: nats, of the pair.
    """

    points: np.ndarray
    log_prob: np.ndarray
    num_prior: int
    kl: float
    tokens: int

    def of(self, kind: str) -> slice:
        """The rows of `prior` or `posterior`."""
        return slice(0, self.num_prior) if kind == "prior" else slice(self.num_prior, None)

    @property
    def log_likelihood(self) -> np.ndarray:
        """(N,): log-probability of the whole reference, nats."""
        return self.log_prob * self.tokens

    def spread(self, kind: str) -> tuple[float, float]:
        """Least and largest log-probability."""
        values = self.log_prob[self.of(kind)]
        return float(values.min()), float(values.max())


@dataclass(frozen=True)
class SampledPair:
    """One context-response pair and what each system's latents make of it."""

    id: int
    context: str
    reference: str
    samples: Mapping[str, LatentSamples]


def sample_pairs(
    checkpoints: Mapping[str, str | Path],
    data: str | Path,
    split: str,
    examples: Sequence[int],
    num_prior: int = 300,
    num_posterior: int = 50,
    seed: int = 1,
    cpu: bool = False,
) -> list[SampledPair]:
    """Sample the latents of every system (name -> checkpoint) for the pairs with these ids; each model is loaded once."""
    from tqdm import tqdm

    from .checkpoint import load

    if min(num_prior, num_posterior) < FEWEST:
        raise InputError(f"{num_prior} and {num_posterior} samples are too few for a picture; remedy: {FEWEST} or more")
    floats = 100  # of a sample at least: its latent, t-SNE's neighbours and gradients
    require_memory(
        4.0 * floats * (num_prior + num_posterior),
        f"--prior {num_prior} --posterior {num_posterior}",
        "some hundred each",
    )
    require_tsne()
    texts: dict[int, tuple[str, str]] = {}
    samples: dict[int, dict[str, LatentSamples]] = {example: {} for example in examples}
    total = len(checkpoints) * len(samples)
    with tqdm(total=total, desc="latents", unit="panel", disable=None if total > 4 else True) as bar:
        for name, checkpoint in checkpoints.items():
            trained = load(checkpoint, data, split, seed, cpu)
            if not trained.model.latent_dim:
                raise InputError(f"{checkpoint}: this model has no latent to show; remedy: leave {name} out")
            for example, found in samples.items():
                found[name] = sample_latents(trained, example, num_prior, num_posterior, seed)
                texts[example] = trained.texts(example)
                bar.update()
    return [SampledPair(example, *texts[example], found) for example, found in samples.items()]


def sample_latents(trained, example: int, num_prior: int, num_posterior: int, seed: int) -> LatentSamples:
    """Sample latents of a `checkpoint.Trained` for one pair, score the reference under each, project all together."""
    import torch

    from fairseq_latent.decoding.contexts import example_seeds
    from fairseq_latent.gaussian import seeded_noise

    from .checkpoint import distributions

    batch = trained.examples([example])
    with torch.no_grad():
        prior, posterior, decoded = distributions(trained.model, batch)
        seeds = example_seeds(torch.tensor([example]), seed).to(trained.device)
        noise = seeded_noise(seeds, num_prior + num_posterior, prior.mean.size(-1)).transpose(0, 1)  # (N, 1, Z)
        z = torch.cat([prior.rsample(noise[:num_prior]), posterior.rsample(noise[num_prior:])])
        nll = decoded.nll(z).squeeze(1)  # (N,): one pass through the decoder's body serves them all
    if not (z.isfinite().all() and nll.isfinite().all()):
        raise InputError(
            f"{trained.split} example {example}: the model's latents or probabilities are not finite numbers, its training "
            "has diverged; remedy: an earlier checkpoint"
        )
    tokens = len(decoded.words)
    log_prob = (-nll / tokens).double().cpu().numpy()
    points = project(z.squeeze(1).double().cpu().numpy(), seed)
    return LatentSamples(points, log_prob, num_prior, posterior.kl(prior).item(), tokens)


def project(z: np.ndarray, seed: int) -> np.ndarray:
    """(N, Z) -> (N, 2): t-SNE; latents that are all the same stay one point."""
    if not np.ptp(z, axis=0).any():
        return np.zeros((len(z), 2))
    from openTSNE import TSNE

    if z.shape[1] == 1:
        z = np.pad(z, ((0, 0), (0, 1)))  # openTSNE begins with two principal components
    perplexity = min(PERPLEXITY, (len(z) - 1) / 3)
    return np.asarray(TSNE(perplexity=perplexity, random_state=seed, n_jobs=1).fit(z))


def require_tsne() -> None:
    """Before a model is loaded: the remedy should not take a minute to appear."""
    try:
        import openTSNE  # noqa: F401
    except ImportError:
        raise missing_extra("openTSNE", "plot") from None


def sampled_pairs(
    args: argparse.Namespace, runs: list[RunFolder], data: str, split: str, examples: Sequence[int]
) -> list[SampledPair]:
    """Latents of all runs for these pairs; `args` come from `add_latent_sampling`."""
    checkpoints = {run.name: run.file(CHECKPOINT) for run in runs}
    return sample_pairs(checkpoints, data, split, examples, args.prior, args.posterior, args.seed, args.cpu)


COLUMNS = ("pair", "model", "kind", "x", "y", "log_prob", "tokens")


def as_tsv(pairs: Sequence[SampledPair]) -> str:
    """COLUMNS, a line per latent; log_prob: of the whole reference, nats; tokens: its length with the end of sentence."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(COLUMNS)
    for pair in pairs:
        for name, samples in pair.samples.items():
            for kind in ("prior", "posterior"):
                writer.writerows([pair.id, name, kind, *point, samples.tokens] for point in _points(samples, kind))
    return text.getvalue()


def as_json(pairs: Sequence[SampledPair]) -> str:
    """The same by pair, model and kind, with the pairs' texts and KL: points are [x, y, log_prob]."""
    found = [
        {
            "pair": pair.id,
            "context": pair.context,
            "reference": pair.reference,
            "models": {
                name: {
                    "kl": samples.kl,
                    "tokens": samples.tokens,
                    "prior": list(_points(samples, "prior")),
                    "posterior": list(_points(samples, "posterior")),
                }
                for name, samples in pair.samples.items()
            },
        }
        for pair in pairs
    ]
    return json.dumps(found, ensure_ascii=False, indent=1) + "\n"


def _points(samples: LatentSamples, kind: str) -> Iterator[list[float]]:
    rows = samples.of(kind)
    for (x, y), log_prob in zip(samples.points[rows].tolist(), samples.log_likelihood[rows].tolist(), strict=True):
        yield [x, y, log_prob]


FORMATS = {"tsv": as_tsv, "json": as_json}
