"""`python -m preprocess.corpora NAME ...`: a corpus as it was released -> conversations.jsonl.

A reader is a module with `add_arguments(parser)`, `read(options, counts)`, which yields conversations, and
`account(counts, kept)`, one line about them. One that writes something else has `convert(options)` in their place.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from importlib import import_module

from tqdm import tqdm

from fairseq_latent.errors import Parser, run
from preprocess.conversation import write_conversations

CORPORA = {
    "chitchat": "Chit-Chat Challenge (English; pip install 'fairseq_latent[quickstart]')",
    "convai2": "PERSONA-CHAT (English), as ConvAI2 released it, with its personas",
    "dailydialog": "DailyDialog (English), as ConvLab-3 releases it",
    "json": "any JSON, by JMESPath expressions for its conversations and turns (pip install 'fairseq_latent[json]')",
    "open2ch": "open2ch dialogue corpus (Japanese), without its negatives",
    "pairs": "two text files of contexts and responses, one conversation per line",
    "ptb": "Penn Treebank (English) as Mikolov split it: sentences, written to train.txt, valid.txt and test.txt",
    "realpersonachat": "RealPersonaChat (Japanese), with both personas and times",
    "synthetic_persona_chat": "Synthetic-Persona-Chat (English, machine-written), with both personas",
    "table": "any CSV, TSV, Parquet or lines of text, by the names of columns (pip install 'fairseq_latent[tweets]')",
    "tweets": "archives of tweets, who answered whom found by joins on disk",
}
MODULES = {  # flags, and what to do with them
    "json": ("json_records", "json_records"),
    "table": ("tables", "tables"),
    "tweets": ("tweets.options", "tweets.pipeline"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = Parser(prog="python -m preprocess.corpora", description="Write a corpus as conversations.jsonl.")
    corpora = parser.add_subparsers(dest="corpus", required=True, metavar="CORPUS")
    for name, summary in CORPORA.items():
        corpus = corpora.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        if name in arguments[:1]:
            flags, reader = (import_module(f"preprocess.corpora.{part}") for part in MODULES.get(name, (name, name)))
            flags.add_arguments(corpus)
            if not hasattr(reader, "convert"):
                help_text = "conversations.jsonl (or .jsonl.gz) to write"
                corpus.add_argument("--out", required=True, metavar="FILE", help=help_text)
    options = parser.parse_args(arguments)
    if hasattr(reader, "convert"):
        reader.convert(options)
        return
    counts = Counter()
    conversations = tqdm(reader.read(options, counts), options.corpus, unit=" conversations", disable=None)
    kept = write_conversations(options.out, conversations)
    print(f"{reader.account(counts, kept)} -> {options.out}")


if __name__ == "__main__":
    sys.exit(run(main))
