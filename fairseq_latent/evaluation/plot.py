"""`fairseq-latent plot`: one picture of several trainings, KL curves, loss curves or latent space."""

import argparse
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.files import written_whole

from .run_folder import CHECKPOINT, LOG, RunFolder, run_folders

PICTURES = {
    "kl": "KL between posterior and prior over updates",
    "loss": "negative log-likelihood and reconstruction perplexity over updates",
    "latents": "prior and posterior samples of one pair, coloured by the reference's log-probability",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `fairseq-latent plot`."""
    pictures = parser.add_subparsers(dest="picture", required=True, metavar="PICTURE")
    for name, summary in PICTURES.items():
        picture = pictures.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        picture.add_argument(
            "runs", nargs="+", metavar="NAME=RUN", help="a system's name and the folder of its training"
        )
        picture.add_argument("--out", required=True, metavar="FILE", help="the picture: .png, .svg or .pdf")
        if name == "latents":
            picture.add_argument("--data", required=True, metavar="DATA", help="folder made by fairseq-preprocess")
            picture.add_argument("--split", default="test", help="default: test")
            picture.add_argument("--example", type=int, default=0, metavar="ID", help="line of the split (default: 0)")
            add_sampling_arguments(picture)


def add_sampling_arguments(parser: argparse.ArgumentParser) -> None:
    """How a picture of latents samples."""
    parser.add_argument("--prior", type=int, default=300, metavar="N", help="prior samples (default: 300)")
    parser.add_argument("--posterior", type=int, default=50, metavar="N", help="posterior samples (default: 50)")
    parser.add_argument("--seed", type=int, default=1, help="of the samples and of t-SNE (default: 1)")
    parser.add_argument("--cpu", action="store_true", help="leave a GPU alone")


def main(args: argparse.Namespace) -> None:
    """Draw first, write then."""
    from . import plots

    kind = Path(args.out).suffix.removeprefix(".")
    if kind not in plots.FORMATS:
        endings = " or ".join(f".{known}" for known in plots.FORMATS)
        raise InputError(f"{args.out}: not the name of a picture; remedy: a name that ends in {endings}")
    runs = run_folders(args.runs)
    picture = plots.encoded(_draw(args, runs), kind)
    with written_whole(args.out, "wb") as file:
        file.write(picture)


def _draw(args: argparse.Namespace, runs: list[RunFolder]):
    from . import plots
    from .training_log import read_training_log

    if args.picture == "latents":
        return plots.latent_picture(sampled_latents(args, runs, args.data, args.split, args.example))
    for run in runs:
        run.require(LOG)
    logs = {run.name: read_training_log(run.file(LOG)) for run in runs}
    return (plots.kl_curves if args.picture == "kl" else plots.loss_curves)(logs)


def sampled_latents(args: argparse.Namespace, runs: list[RunFolder], data: str, split: str, example: int) -> dict:
    """System -> LatentSamples of one pair; `args` come from `add_sampling_arguments`."""
    from .latent_samples import sample_latents

    for run in runs:
        run.require(CHECKPOINT)
    return {
        run.name: sample_latents(
            run.file(CHECKPOINT), data, split, example, args.prior, args.posterior, args.seed, args.cpu
        )
        for run in runs
    }
