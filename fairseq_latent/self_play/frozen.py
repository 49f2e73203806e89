"""The models that self-play leaves as they are, found by path, and known again by the digest of their files."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..errors import InputError
from ..modules.language_models.pretrained import of_folder
from ..modules.language_models.text_likelihood import TextLikelihood

CHUNK = 1 << 20


@dataclass(frozen=True)
class Frozen:
    """A model of an earlier stage in evaluation mode, without gradients, and its task."""

    model: nn.Module
    task: object


@dataclass(frozen=True)
class Speech:
    """A language model that scores texts: the token that begins one, its tokenizer, its vocabulary's size."""

    likelihood: TextLikelihood
    begin: int
    ids: Callable[[Sequence[str]], Sequence[Sequence[int]]]
    size: int


def digest_of(path: str | Path) -> str:
    """SHA-256 of a file, or of all files of a folder with their names."""
    path, made = Path(path), hashlib.sha256()
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    if not files:
        raise InputError(f"{path}: no such file or folder; remedy: where the earlier stage left it")
    for each in files:
        if each != path:
            made.update(str(each.relative_to(path)).encode())
        with open(each, "rb") as file:
            while part := file.read(CHUNK):
                made.update(part)
    return made.hexdigest()


def earlier_stage(path: str | None, flag: str, kind: str, data: str) -> Frozen:
    """The checkpoint of a stage; InputError where it is missing, or of another model than `kind` (a class's name)."""
    from fairseq import checkpoint_utils

    if not path:
        raise InputError(f"{flag} is not given: self-play needs that stage; remedy: {flag} and its checkpoint_best.pt")
    if not Path(path).is_file():
        raise InputError(f"{path}: no such checkpoint, which {flag} names; remedy: train that stage first")
    models, _, task = checkpoint_utils.load_model_ensemble_and_task([str(path)], arg_overrides={"data": data})
    (model,) = models
    if type(model).__name__ != kind:
        raise InputError(f"{path} holds a {type(model).__name__}, which {flag} cannot use; remedy: a {kind}")
    return Frozen(model.eval().requires_grad_(False), task)


def speech_of(folder: str | None, device: torch.device) -> Speech:
    """The language model of --reward-lm, as it is."""
    from ..text.gpt2_tokenizer import load_gpt2

    if not folder:
        raise InputError(
            "--reward-lm is not given, and --lm-reward is not 0; remedy: the folder of a language model "
            "(fairseq-latent weights smollm2), or --lm-reward 0"
        )
    read = of_folder(folder, 1024, 0.0, 0.0)
    tokenizer = load_gpt2(folder)
    if tokenizer.size > len(read.words):
        raise InputError(
            f"{folder}: its tokenizer has {tokenizer.size:,} tokens, its weights {len(read.words):,}; "
            "remedy: the tokenizer that belongs to the weights"
        )
    begin = read.end if read.begin is None else read.begin
    if begin is None:
        raise InputError(f"{folder}/config.json: eos_token_id is no token of it; remedy: the token that ends a text")
    likelihood = TextLikelihood(read, device)
    likelihood.body.requires_grad_(False)
    return Speech(likelihood, begin, tokenizer.ids, len(read.words))
