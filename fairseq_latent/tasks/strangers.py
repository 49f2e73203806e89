"""Which example of a split stands for a stranger's to each, and validation with and without: does a model listen?"""

from pathlib import Path
from typing import Any

from fairseq import utils

from ..data.own_persona import texts_between
from ..data.with_strangers import CONTEXTS, RESPONSES, SENTENCES, WithStrangers
from ..errors import InputError
from ..losses import CONTEXT_WORTH, LATENT_WORTH
from ..symbols import EOT
from ..text.strangers import other_contexts, read_dialogues
from ..text.vocabulary import index_of

WORTHS = (CONTEXT_WORTH, LATENT_WORTH)  # statistics of validation


def ids_of(data: str | Path, split: str) -> Path:
    """The file that says which dialogue each example is of."""
    return Path(utils.split_paths(str(data))[0]) / f"{split}.ids"


def dialogues_of(data: str | Path, split: str, count: int) -> list[str] | None:
    """The dialogue of each of the split's `count` examples; None where DATA has no SPLIT.ids."""
    path = ids_of(data, split)
    return read_dialogues(path, count) if path.is_file() else None


def strangers_of(task: Any, model: Any, split: str) -> list[int | None]:
    """Of each example of a loaded split the one whose context and response stand for a stranger's, drawn by the task's seed.

    Where the task reads no contexts: another sentence of like length.
    """
    dataset = task.dataset(split)
    count = len(dataset)
    longest = model.max_positions()[0]
    end, end_of_turn = task.source_dictionary.eos(), index_of(task.source_dictionary, EOT)
    sources = [dataset[row]["source"] for row in range(count)]
    if not getattr(task, "reads_context", True):
        sentences = [tuple(source.tolist()) for source in sources]
        contexts = [(sentence,) if len(sentence) <= longest else () for sentence in sentences]
        return other_contexts(contexts, sentences, None, [len(sentence) for sentence in sentences], task.cfg.seed)
    turns = [
        [tuple(turn) for turn in texts_between(source, end_of_turn, end)] if len(source) <= longest else []
        for source in sources
    ]
    responses = [tuple(dataset[row]["target"][:-1].tolist()) for row in range(count)]
    dialogues = dialogues_of(task.cfg.data, split, count)
    return other_contexts(turns, responses, dialogues, [len(source) for source in sources], task.cfg.seed)


def swaps_of(task: Any, model: Any) -> dict[str, tuple[str, ...]]:
    """What is taken from a stranger, by the statistic that it serves.

    A model without a latent has no latent worth, nor has one whose posterior reads a profile in place of the response.
    """
    swaps: dict[str, tuple[str, ...]] = {}
    reads_context = getattr(task, "reads_context", True)
    if reads_context:
        swaps[CONTEXT_WORTH] = CONTEXTS
    if getattr(model, "latent_dim", 0) and not getattr(model, "posterior_inputs", ()):
        swaps[LATENT_WORTH] = RESPONSES if reads_context else SENTENCES
    return swaps


def validate_with_strangers(task: Any, model: Any, split: str) -> None:
    """Let the batches of a loaded split bring those of strangers."""
    rows, swaps = strangers_of(task, model, split), swaps_of(task, model)
    if not swaps:
        raise InputError("--context-worth: this model reads no context and has no latent; remedy: leave it out")
    if not any(row is not None for row in rows):
        raise InputError(
            f"{task.cfg.data}: split {split}: no example has a stranger, the context of another dialogue; remedy: more "
            "data, or without --context-worth"
        )
    task.datasets[split] = WithStrangers(task.datasets[split], rows, swaps)
