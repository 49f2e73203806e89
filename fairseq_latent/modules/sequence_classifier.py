"""Texts, or pairs of them, to the logits of a sequence classification model of `transformers`, by the path of its folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..text.panics import panics_are_errors
from .language_models.pretrained import read_folder, transformers

BATCH = 32  # texts at a time
LONGEST = 512  # tokens, where the model does not say
REMEDY = "remedy: a sequence classification model's folder in the form of transformers, with its tokenizer"
TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")
Text = str | tuple[str, str]


class SequenceClassifier:
    """labels: as its config has them, in the order of the logits. end: the token that ends a text, "" if it has none."""

    def __init__(self, folder: str, device: torch.device):
        model, unexpected = read_folder(
            folder, "AutoModelForSequenceClassification", lambda config: None, REMEDY, trust_remote_code=False
        )
        if heads := [name for name in unexpected if name.startswith(("score.", "classifier."))]:
            raise InputError(f"{folder} has weights that nobody looks at, e.g. {min(heads)}; {REMEDY}")
        self.tokenizer = _tokenizer(folder)
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        if self.tokenizer.pad_token_id is None:
            raise InputError(f"{folder}: its tokenizer has neither a pad nor an end of text; {REMEDY}")
        if len(self.tokenizer) > model.get_input_embeddings().num_embeddings:
            raise InputError(f"{folder}: its tokenizer has more tokens than its weights; {REMEDY}")
        model.config.pad_token_id = self.tokenizer.pad_token_id
        self.tokenizer.padding_side = "right"
        self.tokenizer.truncation_side = "left"  # the newest turns, and the response
        self.model, self.device = model.to(device).eval(), device
        self.name = Path(folder).resolve().name
        self.labels: Sequence[str] = [str(model.config.id2label[place]) for place in range(model.config.num_labels)]
        self.end = self.tokenizer.eos_token or ""

    @property
    def longest(self) -> int:
        """Tokens of a text; what is longer loses its beginning."""
        known = getattr(self.model.config, "max_position_embeddings", None) or LONGEST
        offset = 2 if self.model.config.model_type in ("roberta", "xlm-roberta", "camembert") else 0  # rows of pads
        return min(int(known) - offset, self.tokenizer.model_max_length)

    @torch.no_grad()
    def __call__(self, texts: Sequence[Text]) -> np.ndarray:
        """(N, L): logits."""
        found = np.zeros((len(texts), len(self.labels)))
        order = sorted(range(len(texts)), key=lambda place: len("".join(texts[place])))
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            found[part] = self._logits([texts[place] for place in part])
        return found

    def _logits(self, texts: Sequence[Text]) -> np.ndarray:
        given: Any = list(texts)
        tokens = self.tokenizer(given, padding=True, truncation=True, max_length=self.longest, return_tensors="pt")
        if tokens["input_ids"].size(1) == 0:  # empty texts of a tokenizer without special tokens
            tokens = self.tokenizer([self.end] * len(given), return_tensors="pt")
        logits = self.model(**tokens.to(self.device)).logits
        return logits.double().cpu().numpy()


def _tokenizer(folder: str) -> Any:
    library = transformers()
    if not any((Path(folder) / name).is_file() for name in TOKENIZERS):  # the library would make an empty one
        raise InputError(f"{folder}: no tokenizer there; {REMEDY}")
    try:
        with panics_are_errors():
            return library.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # each library has its own
        line = " ".join(str(error).split())[:200]
        raise InputError(f"{folder}: no tokenizer there ({line}); {REMEDY}") from None
