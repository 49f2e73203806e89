"""One embedding table for contexts, responses and the output projection, started from word vectors where given."""

import logging
from pathlib import Path

import torch
from torch import nn

from ..errors import InputError
from ..text.word_vectors import load_vectors

logger = logging.getLogger(__name__)


def shared_embeddings(dictionary, embed_dim: int, path: str | None) -> nn.Embedding:
    """Rows N(0, 1 / H), the pad row zero; rows that the file at `path` has are taken from it."""
    embeddings = nn.Embedding(len(dictionary), embed_dim, dictionary.pad())
    nn.init.normal_(embeddings.weight, std=embed_dim**-0.5)
    nn.init.zeros_(embeddings.weight[dictionary.pad()])
    if path:
        start_from(path, embeddings, dictionary.symbols)
    return embeddings


def start_from(path: str, embeddings: nn.Embedding, symbols: list[str]) -> None:
    """Copy the vectors of the symbols that have one from the file at `path`; InputError if none has."""
    flag = f"--encoder-embed-path {path}"
    if not Path(path).is_file():
        raise InputError(f"{flag}: no such file; remedy: a file of word vectors")
    try:
        vectors = load_vectors(path)
    except InputError as error:
        raise InputError(f"--encoder-embed-path {error}") from None
    width = vectors.matrix.shape[1]
    if width != embeddings.embedding_dim:
        raise InputError(
            f"{flag}: vectors have {width} numbers, --embed-dim is {embeddings.embedding_dim}; "
            "remedy: vectors of that width"
        )
    known = {index: vectors.rows[symbol] for index, symbol in enumerate(symbols) if symbol in vectors.rows}
    if not known:
        raise InputError(
            f"{flag}: no vector of any token of the dictionary; remedy: vectors of its subword tokens, "
            "python -m preprocess.vectors"
        )
    logger.info("%s: vectors of %d of %d tokens of the dictionary", flag, len(known), len(symbols))
    with torch.no_grad():
        embeddings.weight[list(known)] = torch.from_numpy(vectors.matrix[list(known.values())])
