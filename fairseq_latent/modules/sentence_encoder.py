"""Sentences to vectors: a BERT (Devlin et al., 2019) from a folder, from a checkpoint's configuration, or fresh."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError
from ..losses import real_places
from ..matching import masked_mean
from ..text.wordpiece import WordPieces
from .language_models.pretrained import COPY_AGAIN, read_configuration, read_folder, transformers

REMEDY = "remedy: the folder of a BERT, e.g. of fairseq-latent weights minilm FOLDER"
UTTERANCE, SENTENCE = 0, 1  # segments
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
BATCH = 64  # texts at a time


class SentenceEncoder(nn.Module):
    """The mean over real tokens of BERT's last layer, whatever else is in the batch."""

    def __init__(self, model: nn.Module, pad: int):
        super().__init__()
        self.model, self.pad = model, pad

    @property
    def dimensions(self) -> int:
        """D."""
        return self.model.config.hidden_size

    @property
    def positions(self) -> int:
        """The longest text."""
        return self.model.config.max_position_embeddings

    def freeze_tables(self) -> None:
        """Leave words and segments as they are; positions and layers are trained."""
        for table in (self.model.embeddings.word_embeddings, self.model.embeddings.token_type_embeddings):
            table.requires_grad_(False)

    def forward(self, tokens: Tensor, segment: int) -> Tensor:
        """(..., L), padded on the right -> (..., D); rows of pads alone, which cost nothing, give zeros."""
        flat = tokens.flatten(0, -2)
        real = flat.ne(self.pad)
        rows = real.any(-1)
        count, width = torch.stack([rows.sum(), real.sum(-1).max()]).tolist() if len(flat) else (0, 0)
        places = real_places(rows, count)
        kept, mask = flat[places, :width], real[places, :width]
        table = self.model.embeddings.word_embeddings.weight
        encodings = table.new_zeros(len(flat), table.size(1))
        if len(kept):
            segments = torch.full_like(kept, segment) * mask  # 0 at pads
            states = self.model(input_ids=kept, token_type_ids=segments, attention_mask=mask.long()).last_hidden_state
            encodings = encodings.to(states.dtype).masked_scatter(rows.unsqueeze(-1), masked_mean(states, mask))
        return encodings.view(*tokens.shape[:-1], -1)


def fresh_bert(
    types: int, embed_dim: int, layers: int, heads: int, ffn_dim: int, positions: int, dropout: float
) -> Any:
    """A BERT with random weights, N(0, 0.02)."""
    library = transformers()
    config = library.BertConfig(
        vocab_size=types, hidden_size=embed_dim, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=ffn_dim, max_position_embeddings=positions, hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    return library.BertModel(config, add_pooling_layer=False)


def bert_of_configuration(text: str, dropout: float) -> Any:
    """One with random weights, of a configuration that `pretrained.configuration` wrote into a checkpoint."""
    library = transformers()

    def build(fields: Any) -> Any:
        config = library.BertConfig.from_dict(fields)
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout
        return library.BertModel(config, add_pooling_layer=False)

    return read_configuration("--encoder-config", text, build)


def bert_of_folder(folder: str | Path, dropout: float) -> Any:
    """A BERT in `transformers`' form; InputError for other kinds and for damaged ones."""

    def prepare(config: Any) -> None:
        if config.model_type != "bert" or config.type_vocab_size < 2:
            raise InputError(f"{folder} has a model of type {config.model_type}, with other inputs; {REMEDY}")
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout

    model, _ = read_folder(folder, "BertModel", prepare, REMEDY, add_pooling_layer=False)
    if not all(parameter.isfinite().all() for parameter in model.parameters()):
        raise InputError(f"{folder} has weights that are no finite numbers; {COPY_AGAIN}")
    return model


class TextEncoder:
    """Texts to vectors by the BERT of a folder: the mean over all tokens of its last layer, as sentence-transformers has it
    (Reimers and Gurevych, 2019, https://arxiv.org/abs/1908.10084). Of long texts the newest tokens count."""

    def __init__(self, folder: str | Path, device: torch.device):
        self.tokens = WordPieces.of_folder(folder)
        self.encoder = SentenceEncoder(bert_of_folder(folder, 0.0), self.tokens.pad).to(device).eval()
        if self.tokens.size > len(self.encoder.model.embeddings.word_embeddings.weight):
            raise InputError(
                f"{folder}: its tokenizer has {self.tokens.size:,} tokens, its weights fewer; remedy: the tokenizer that "
                "belongs to the weights"
            )
        self.device = device
        there = [path for name in (*WEIGHTS, "config.json") if (path := Path(folder) / name).is_file()]
        with there[0].open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        self.signature = f"encoder:{Path(folder).resolve().name}|sha256:{digest}|mean|layer:last"

    @property
    def tokens_signature(self) -> str:
        """Of `of_tokens`."""
        return f"{self.signature.replace('|mean', '')}"

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """(N, D)"""
        found = np.zeros((len(texts), self.encoder.dimensions))
        for part, rows in self._batches(texts):
            found[part] = self.encoder(rows, UTTERANCE).double().cpu().numpy()
        return found

    @torch.no_grad()
    def of_tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """(n, D) of each: the last layer's vectors of its tokens, without the special ones at both ends."""
        found: list[np.ndarray] = [np.empty(0)] * len(texts)
        for part, rows in self._batches(texts):
            mask = rows.ne(self.tokens.pad)
            states = self.encoder.model(input_ids=rows, attention_mask=mask.long()).last_hidden_state.double().cpu()
            for place, vectors, length in zip(part, states, mask.sum(1).tolist(), strict=True):
                found[place] = vectors[1 : length - self.tokens.ends].numpy()
        return found

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], Tensor]]:
        """Places of texts of about the same length, and their tokens (B, L)."""
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            ids = self.tokens.whole([texts[place] for place in part], self.encoder.positions)
            rows = [torch.tensor(row) for row in ids]
            yield (
                part,
                nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=self.tokens.pad).to(self.device),
            )
