"""What tests of the hierarchical models share: a task whose words have <eot>, and batches of turns."""

import torch
from fairseq.data import Dictionary, LanguagePairDataset, ListDataset

from fairseq_latent.data.seeded_dataset import SeededDataset
from fairseq_latent.symbols import EOT
from fairseq_latent.tasks.dialogue import DialogueConfig, DialogueTask

from ..helpers.tiny import build_model

ARCHS = ("hred_tiny", "vhred_tiny", "rnn_cvae_tiny")
LATENT = ARCHS[1:]
WORDS = ("yes", "no", "tea", "sea", "i", "love", "hate")
# words of each turn of a context, and of its response: one turn, forty, an empty one, a response of no word
SHAPES = (((3,), 4), ((1, 2) * 20, 2), ((2, 0, 5), 6), ((4, 1), 0), ((0,), 3))


def task_of(end_of_turn: str = EOT) -> DialogueTask:
    """A DialogueTask without data, eight words."""
    words = Dictionary()
    for word in (end_of_turn, *WORDS):
        words.add_symbol(word)
    config = DialogueConfig(data="nowhere", seed=1, update_freq=[1], best_checkpoint_metric="au")
    return DialogueTask(config, words, words)


def model_of(task, arch: str, seed: int = 1, **changes):
    """Without dropout, in float64: sums in another order are equal to 15 digits."""
    torch.manual_seed(seed)
    model = build_model(task, arch, **{"dropout": 0.0, **changes}).double()
    if model.encoder.latent is not None:  # far enough from the start for latents to matter
        for parameter in model.parameters():
            parameter.data.mul_(1.5)
    return model.eval()


def texts(task, shapes=SHAPES, seed: int = 0) -> list[tuple[list[list[int]], list[int]]]:
    """Random words of each turn of a context, and of its response: tokens without ends."""
    words, generator = task.target_dictionary, torch.Generator().manual_seed(seed)

    def said(count: int) -> list[int]:
        return torch.randint(words.nspecial + 1, len(words), (count,), generator=generator).tolist()

    return [([said(count) for count in turns], said(response)) for turns, response in shapes]


def dataset(task, shapes=SHAPES, seed: int = 0) -> SeededDataset:
    """`texts` as pairs: turns parted by <eot>, contexts padded left and responses right."""
    words = task.target_dictionary
    source, target = [], []
    for turns, response in texts(task, shapes, seed):
        spoken = [token for turn in turns for token in (*turn, words.nspecial)]
        source.append(torch.tensor([*spoken[:-1], words.eos()]))
        target.append(torch.tensor([*response, words.eos()]))
    sizes = [[len(row) for row in side] for side in (source, target)]
    pairs = LanguagePairDataset(
        ListDataset(source, sizes[0]), sizes[0], words, ListDataset(target, sizes[1]), sizes[1], words, shuffle=False
    )
    return SeededDataset(pairs, task.cfg.seed)


def batch(task, shapes=SHAPES, seed: int = 0) -> dict:
    """One collated batch of `dataset`; "id" says in which order."""
    data = dataset(task, shapes, seed)
    return data.collater([data[index] for index in range(len(data))])
