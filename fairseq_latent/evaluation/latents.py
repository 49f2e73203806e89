"""`fairseq-latent latents`: what a checkpoint's latent carries on a split, KL, active units, mutual information, perplexity.

KL is nats a sentence, as Sato et al. (2021) report it (KLD). Active units follow Burda et al. (2016), mutual information
Hoffman and Johnson (2016).
"""

import argparse
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.files import written_whole

from .tables import Column, render

MUTUAL_INFORMATION_SENTENCES = 2000  # the mixture q(z) has as many components: the work grows with its square


@dataclass(frozen=True)
class LatentStatistics:
    """A split's statistics under one posterior sample a sentence.

    kl, mi: nats a sentence. au: dimensions with a posterior mean of variance >= 0.01. rec_ppl = exp(NLL / tokens),
    elbo_ppl = exp((NLL + KL) / tokens), over target tokens with the end of sentence.
    """

    kl: float
    au: int
    mi: float
    rec_ppl: float
    elbo_ppl: float
    sentences: int
    tokens: int
    signature: str


def statistics(path: str, data: str, split: str, seed: int = 1, cpu: bool = False) -> LatentStatistics:
    """Run the model over a split; noise comes from (seed, example id), so that batches don't matter."""
    import torch
    from tqdm import tqdm

    from fairseq_latent.gaussian import DiagonalGaussian
    from fairseq_latent.losses import active_units, mutual_information

    from .checkpoint import load

    trained = load(path, data, split, seed, cpu)
    pad = trained.task.target_dictionary.pad()
    rows: dict[str, list] = {name: [] for name in ("id", "nll", "kl", "tokens", "z", "mean", "logvar")}
    with torch.no_grad():
        for batch in tqdm(trained.batches(), desc=f"latents of {split}", unit="batch", disable=None):
            nll, latent = _run(trained.model, batch, pad)
            values = (batch["id"], nll, latent.posterior.kl(latent.prior), batch["target"].ne(pad).sum(1))
            values += (latent.z, latent.posterior.mean, latent.posterior.logvar)
            for name, value in zip(rows, values, strict=True):
                rows[name].append(value.cpu())
    columns = {name: torch.cat(parts) for name, parts in rows.items()}
    order = columns.pop("id").argsort()
    columns = {name: values[order] for name, values in columns.items()}
    count, tokens = len(order), int(columns["tokens"].sum())
    skipped = len(trained.task.dataset(split)) - count
    if skipped:
        print(f"{split}: {skipped} of {skipped + count} pairs are too long for the model and left out", file=sys.stderr)
    if count < 2:
        raise InputError(f"{data}: split {split} has {count} sentence; statistics need two or more")
    mean = columns["mean"].double()
    mixture = slice(0, MUTUAL_INFORMATION_SENTENCES)
    posterior = DiagonalGaussian(columns["mean"][mixture], columns["logvar"][mixture])
    nll, kl = columns["nll"].double().sum().item(), columns["kl"].double().sum().item()
    return LatentStatistics(
        kl=kl / count,
        au=active_units(mean.sum(0), mean.square().sum(0), count),
        mi=mutual_information(posterior, columns["z"][mixture]).mean().item(),
        rec_ppl=_perplexity(nll / tokens),
        elbo_ppl=_perplexity((nll + kl) / tokens),
        sentences=count,
        tokens=tokens,
        signature=f"split:{split}|z:posterior|K:1|seed:{seed}|au:0.01|mi-sentences:{len(posterior.mean)}|too-long:{skipped}",
    )


def _run(model, batch: dict, pad: int):
    """NLL (B,) in nats and the latent of one batch, under one posterior sample."""
    from fairseq_latent.losses import sequence_nll

    logits, extra = model(**batch["net_input"], target=batch["target"])
    return sequence_nll(logits, batch["target"], pad)[1], extra["latent"]


def _perplexity(nats_per_token: float) -> float:
    return math.exp(min(nats_per_token, 700.0))


def read_statistics(path: str | Path) -> LatentStatistics:
    """Read back what `fairseq-latent latents --format json` wrote."""
    try:
        return LatentStatistics(**json.loads(Path(path).read_text(encoding="utf-8")))
    except (TypeError, ValueError):
        raise InputError(
            f"{path}: these are not the statistics of a latent; remedy: fairseq-latent latents … --format json --out {path}"
        ) from None


COLUMNS = (
    Column("model"),
    Column("KLD", 2),
    Column("AU", 0),
    Column("MI", 2),
    Column("rec PPL", 2),
    Column("elbo PPL", 2),
)


def row(name: str, found: LatentStatistics) -> list:
    """One row of COLUMNS."""
    return [name, found.kl, found.au, found.mi, found.rec_ppl, found.elbo_ppl]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent latents`."""
    parser.add_argument("data", metavar="DATA", help="folder made by fairseq-preprocess")
    parser.add_argument("--path", required=True, metavar="FILE", help="a checkpoint, e.g. checkpoint_best.pt")
    parser.add_argument("--split", default="valid", help="valid, test, train (default: valid)")
    parser.add_argument("--seed", type=int, default=1, help="of the posterior samples (default: 1)")
    parser.add_argument("--cpu", action="store_true", help="leave a GPU alone")
    parser.add_argument("--format", choices=("text", "markdown", "json"), default="text")
    parser.add_argument("--out", metavar="FILE", help="write here, not to the terminal")


def main(args: argparse.Namespace) -> int:
    """Print or write the statistics of one checkpoint."""
    found = statistics(args.path, args.data, args.split, args.seed, args.cpu)
    if args.format == "json":
        text = json.dumps(vars(found), indent=2)
    else:
        text = render(COLUMNS, [row(Path(args.path).parent.name or args.path, found)], args.format)
        text += f"\n\n{found.signature}"
    if args.out:
        with written_whole(args.out) as file:
            file.write(text + "\n")
    else:
        print(text)
    return 0
