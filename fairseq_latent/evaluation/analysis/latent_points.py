"""The points of a latent picture as numbers, for pictures of one's own."""

import csv
import io
import json
from collections.abc import Iterator, Sequence

from .latent_samples import LatentSamples, SampledPair

COLUMNS = ("pair", "model", "kind", "x", "y", "log_prob", "tokens")


def as_tsv(pairs: Sequence[SampledPair]) -> str:
    """COLUMNS, a line a latent; log_prob: of the whole reference, nats; tokens: its length with the end of sentence."""
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
