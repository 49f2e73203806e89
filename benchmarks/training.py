"""Training on made-up conversations: what the benchmarks of this folder measure.

Real fairseq objects throughout (task, model, criterion, trainer); only the words are random. Lengths follow a log-normal
distribution with a median of 12 pieces, as chit-chat has it, and fairseq's own batching makes padded batches of them.
"""

import contextlib
import logging
import tempfile
from pathlib import Path

import numpy as np
import torch
from fairseq import options, tasks
from fairseq.data import Dictionary, LanguagePairDataset, ListDataset
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.trainer import Trainer

import fairseq_latent
from fairseq_latent.data.seeded_dataset import SeededDataset

MEDIAN_LENGTH, LENGTH_SPREAD, SHORTEST, LONGEST = 12, 0.7, 3, 64
# the sizes of our architectures, as flags of fairseq's `transformer`
TRANSFORMER = {
    "t_cvae": (512, 2048, 6, 8),
    "t_cvae_small": (128, 512, 2, 4),
    "t_cvae_tiny": (16, 32, 2, 2),
}


def ours(arch: str, vocabulary: int, cpu: bool = True) -> Trainer:
    """T-CVAE with the criterion `elbo`."""
    return _trainer(vocabulary, cpu, "--task", "dialogue", "--arch", arch, "--criterion", "elbo")


def stock(arch: str, vocabulary: int) -> Trainer:
    """fairseq's `transformer` of the same size, with the same dropout, embeddings shared."""
    size = [str(number) for number in TRANSFORMER[arch]]
    flags = ["--task", "translation", "--arch", "transformer", "--criterion", "label_smoothed_cross_entropy"]
    for side in ("encoder", "decoder"):
        for name, number in zip(("embed-dim", "ffn-embed-dim", "layers", "attention-heads"), size, strict=True):
            flags += [f"--{side}-{name}", number]
    flags += ["--share-all-embeddings", "--attention-dropout", "0.1", "--activation-dropout", "0.1"]
    return _trainer(vocabulary, True, *flags)


def _trainer(vocabulary: int, cpu: bool, *flags: str) -> Trainer:
    """As fairseq-train builds it, with the optimiser of the recipes."""
    with _silence(), tempfile.TemporaryDirectory() as folder:
        words = Dictionary()
        for index in range(vocabulary - words.nspecial):
            words.add_symbol(f"w{index}", n=vocabulary - index)
        for side in ("src", "tgt"):
            words.save(f"{folder}/dict.{side}.txt")
        command = [folder, "--user-dir", str(Path(fairseq_latent.__file__).parent), "-s", "src", "-t", "tgt", *flags]
        command += ["--cpu"] if cpu else []
        command += ["--optimizer", "adam", "--adam-betas", "(0.9, 0.98)", "--weight-decay", "1e-4"]
        command += [
            "--clip-norm",
            "25",
            "--lr",
            "1e-4",
            "--label-smoothing",
            "0.1",
            "--max-tokens",
            "1000",
            "--seed",
            "1",
        ]
        cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), command))
        torch.manual_seed(1)
        task = tasks.setup_task(cfg.task)
        model = task.build_model(cfg.model)
        trainer = Trainer(cfg, task, model, task.build_criterion(cfg.criterion))
        trainer.begin_epoch(1)
    return trainer


@contextlib.contextmanager
def _silence():
    """fairseq logs what it builds."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def make_batches(task, count: int, max_tokens: int, seed: int = 1) -> list[dict]:
    """`count` of fairseq's batches, evenly from the one with the shortest responses to the one with the longest."""
    rng = np.random.default_rng(seed)
    words = task.target_dictionary
    pairs = 40 * max_tokens // MEDIAN_LENGTH

    def side():
        lengths = np.exp(rng.normal(np.log(MEDIAN_LENGTH), LENGTH_SPREAD, pairs)).astype(int).clip(SHORTEST, LONGEST)
        rows = [torch.from_numpy(rng.integers(words.nspecial, len(words), length)) for length in lengths]
        rows = [torch.cat([row, torch.tensor([words.eos()])]) for row in rows]
        return ListDataset(rows, [len(row) for row in rows])

    source, target = side(), side()
    dataset = LanguagePairDataset(source, source.sizes, words, target, target.sizes, words)
    seeded = SeededDataset(dataset, seed)
    with _silence():
        iterator = task.get_batch_iterator(seeded, max_tokens=max_tokens, seed=seed)
    batches = sorted(iterator.next_epoch_itr(shuffle=False), key=lambda batch: batch["target"].size(1))
    return [batches[round((index + 0.5) * len(batches) / count - 0.5)] for index in range(count)]


def without_seeds(batch: dict) -> dict:
    """The batch as fairseq's own tasks have it."""
    return {**batch, "net_input": {name: value for name, value in batch["net_input"].items() if name != "noise_seed"}}


def describe(batches: list[dict], pad: int) -> str:
    """How many tokens, and how much of the batches is pads."""
    sides = {"response": [b["target"] for b in batches], "context": [b["net_input"]["src_tokens"] for b in batches]}
    parts = []
    for name, tensors in sides.items():
        real, cells = sum(int(t.ne(pad).sum()) for t in tensors), sum(t.numel() for t in tensors)
        parts.append(f"{real / len(batches):,.0f} {name} tokens ({100 - 100 * real / cells:.0f} % pads)")
    return f"{len(batches)} batches of on average {' and '.join(parts)}"
