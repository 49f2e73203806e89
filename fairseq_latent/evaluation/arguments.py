"""Flags that several sub-commands share."""

import argparse
from collections.abc import Iterable

from fairseq_latent.errors import InputError
from fairseq_latent.files import written_whole

from .metrics.dialogue_subset import DIALOGUES

TABLES = ("text", "markdown", "latex", "json")


def add_running(parser: argparse.ArgumentParser, seed_of: str | None = None) -> None:
    """--seed, of what it is, and --cpu."""
    if seed_of is not None:
        parser.add_argument("--seed", type=int, default=1, help=f"seed of {seed_of} (default: 1)")
    parser.add_argument("--cpu", action="store_true", help="compute on the CPU, even if there is a GPU")


def add_output(parser: argparse.ArgumentParser, formats: Iterable[str] = TABLES) -> None:
    """--format and --out of what is printed: see `deliver`."""
    parser.add_argument("--format", choices=tuple(formats), default="text")
    parser.add_argument("--out", metavar="FILE", help="write to this file instead of the terminal")


def deliver(text: str, out: str | None) -> None:
    """Print a text, or write it atomically to the file `out`."""
    if out is None:
        print(text)
        return
    with written_whole(out) as file:
        file.write(text + "\n")


def add_word_sampling(parser: argparse.ArgumentParser, what: str) -> None:
    """The flags; `what` is decoded."""
    parser.add_argument(
        "--sampling-topk", type=int, default=4, metavar="K", help="sample from the K best words (default: 4)"
    )
    parser.add_argument(
        "--sampling-topp",
        type=float,
        default=0.8,
        metavar="P",
        help="sample from the most likely words, up to probability P in all (default: 0.8)",
    )
    parser.add_argument(
        "--max-length", type=int, default=40, metavar="TOKENS", help=f"longest {what}, in tokens (default: 40)"
    )


def check_word_sampling(args: argparse.Namespace) -> None:
    """InputError for values that leave no word to choose from."""
    if args.max_length < 1:
        raise InputError(f"--max-length {args.max_length}; remedy: 1 or more")
    if args.sampling_topk < 1 or not 0 < args.sampling_topp <= 1:
        raise InputError(
            f"--sampling-topk {args.sampling_topk} --sampling-topp {args.sampling_topp}; remedy: 4 and 0.8, as the paper"
        )


def add_latent_sampling(parser: argparse.ArgumentParser) -> None:
    """How a picture of latents samples."""
    parser.add_argument("--prior", type=int, default=300, metavar="N", help="number of prior samples (default: 300)")
    parser.add_argument(
        "--posterior", type=int, default=50, metavar="N", help="number of posterior samples (default: 50)"
    )
    add_running(parser, "the samples and of t-SNE")


def add_word_vectors(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """What P.Distance is measured with."""
    parser.add_argument(
        "--vectors",
        required=required,
        metavar="FILE",
        help="word vectors for P.Distance: text of word2vec or GloVe, or word2vec's binary form (.bin), also .gz",
    )
    parser.add_argument(
        "--stopwords",
        metavar="FILE",
        help="stop words, one per line; default: scikit-learn's English ones",
    )
    parser.add_argument(
        "--train-text",
        nargs="+",
        default=[],
        metavar="FILE",
        help="training responses and profiles, whose rare words are the keywords (DATA.text/train.tgt and train.partner); "
        "default: any word with a vector that is no stop word is one",
    )


def add_proximity(parser: argparse.ArgumentParser) -> None:
    """Flags of P.Distance."""
    parser.add_argument(
        "--profiles",
        metavar="FILE",
        help="the partner's profiles, one per line, for P.Distance: DATA.text/test.partner",
    )
    add_word_vectors(parser)


def add_persona_metrics(parser: argparse.ArgumentParser) -> None:
    """Flags of both."""
    add_proximity(parser)
    parser.add_argument(
        "--dialogues",
        metavar="FILE",
        help=f"conversation:turn, one per line (DATA.text/test.ids): distinct n-grams on {DIALOGUES} dialogues too, always "
        "the same ones, as the share of distinct n-grams falls with the amount of text",
    )


def add_relevance(parser: argparse.ArgumentParser) -> None:
    """Flags of relevance, which --vectors and --dialogues serve, too."""
    parser.add_argument(
        "--encoder",
        metavar="FOLDER",
        help="a BERT that encodes sentences, in transformers' form (fairseq-latent weights minilm FOLDER): relevance, the "
        "cosine of response and own context less that with a stranger's; default: by --vectors, if they are given",
    )
    parser.add_argument(
        "--contexts",
        metavar="FILE",
        help="contexts, one per line, <eot> between turns, instead of the S- lines: DATA.text/test.src",
    )


def add_by_dialogue(parser: argparse.ArgumentParser, needs: str = "") -> None:
    """Sums of each dialogue beside the table."""
    parser.add_argument(
        "--by-dialogue",
        metavar="FILE",
        help=f"write JSON of what each dialogue adds to each measure, for intervals and paired tests over dialogues{needs}",
    )


def add_autocast(parser: argparse.ArgumentParser) -> None:
    """In which precision a measure computes."""
    parser.add_argument(
        "--autocast",
        choices=("none", "bfloat16"),
        default="none",
        help="precision of matrix products; bfloat16 is faster on many processors (default: none, float32)",
    )
