"""One embedding table for contexts, responses and the output projection, started from word vectors where given."""

from pathlib import Path

from fairseq import utils
from fairseq.models.transformer import Embedding
from torch import nn

from ..errors import InputError


def shared_embeddings(dictionary, embed_dim: int, path: str | None) -> nn.Embedding:
    """Rows N(0, H^-0.5), the pad row zero; rows that the file at `path` has are taken from it."""
    embeddings = Embedding(len(dictionary), embed_dim, dictionary.pad())
    if not path:
        return embeddings
    if not Path(path).is_file():
        raise InputError(f"--encoder-embed-path {path}: no such file; remedy: a text file of word vectors")
    try:
        vectors = utils.parse_embedding(path)
    except (ValueError, StopIteration) as error:
        raise InputError(
            f"--encoder-embed-path {path}: no word vectors; remedy: text, `count width`, then a word and its numbers a line"
        ) from error
    wrong = {len(vector) for vector in vectors.values()} - {embed_dim} if vectors else {0}
    if wrong:
        raise InputError(
            f"--encoder-embed-path {path}: vectors have {min(wrong)} numbers, --embed-dim is {embed_dim}; "
            "remedy: vectors of that width"
        )
    return utils.load_embedding(vectors, dictionary, embeddings)
