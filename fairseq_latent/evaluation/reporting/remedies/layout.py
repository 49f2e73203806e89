"""Rows of `fairseq-latent table remedies`: a remedy at one strength, measured by its latents, likelihood and texts."""

import math
from collections.abc import Mapping

from ...analysis.latent_statistics import LISTENING, read_statistics
from ...metrics.system_scores import REFERENCE
from ...metrics.system_scores import Row as Scored
from ...runs.run_folder import LATENTS_TEST, LOG, RunFolder
from ...runs.training_log import log_so_far
from ..score_table import read_rows
from ..table_rows import DECIMALS, DONE, Layout, Number, Row

RECONSTRUCTED, SAMPLED = "reconstruction.json", "samples.json"  # of `fairseq-latent score --format json`
TEXTS = {  # files -> what a row has of their scores: column -> metric
    RECONSTRUCTED: {"BLEU": "BLEU"},
    SAMPLED: {"dist-1": "dist-1", "dist-2": "dist-2", "length": "length"},
}
CURVES = ("nll", "iw_ppl", "mi", "au", "BLEU", "dist-2", *LISTENING)  # against the KL, where they were measured


def remedy_of(name: str) -> str:
    """A row's name without its strength: `batch norm: γ = 0.5` -> `batch norm`."""
    return name.partition(":")[0]


def read_remedy(run: RunFolder, scores: Mapping[str, Scored]) -> Row:
    """A finished run's folder, with what was measured in it."""
    log = log_so_far(run.folder / LOG) if (run.folder / LOG).is_file() else None
    numbers: dict[str, Number | None] = {"updates": log.updates if log else None}
    if not all((run.folder / name).is_file() for name in (DONE, LATENTS_TEST)):
        return Row(run.name, REMEDIES.rounded(numbers))
    found = read_statistics(run.folder / LATENTS_TEST)
    numbers |= vars(found) | {"nll": math.log(found.rec_ppl) * found.tokens / found.sentences}
    signatures = {"latents": found.signature}
    for file, metrics in TEXTS.items():
        if not (run.folder / file).is_file():
            continue
        (row,) = (row for name, row in read_rows(run.folder / file).items() if name != REFERENCE)
        numbers |= {column: row.scores[metric].value for column, metric in metrics.items() if metric in row.scores}
        signatures["texts"] = "\n".join({score.signature: None for score in row.scores.values()})
    return Row(run.name, REMEDIES.rounded(numbers), "", signatures)


REMEDIES = Layout(
    numbers={
        name: 0 if name in ("updates", "au", "sentences", "tokens") else DECIMALS
        for name in (
            *("updates", "kl", "nll", "rec_ppl", "elbo_ppl", "iw_ppl", "prior_ppl", "mi", "au"),
            *("BLEU", "dist-1", "dist-2", "length"),
            *(f"{name}{end}" for name in LISTENING for end in ("", "_low", "_high")),
            *("sentences", "tokens"),
        )
    },
    read=read_remedy,
    signed={"latents": "signature"},
    write_curves=lambda rows: "",
    read_curves=lambda path: {},
    same={"updates": "updates", "sentences": "test sentences", "tokens": "test tokens"},
)
