#!/usr/bin/env python3
"""An epoch of the GRU sentence VAE through fairseq, beside a bare PyTorch loop with the same modules.

    python benchmarks/text_vae.py data-bin/ptb

Both train on the same batches of the data, in turns: fairseq's trainer with our task, model and criterion, collating,
logging and clipping included, and a loop that a careful person would write by hand (padded batches, nn.GRU, cross-entropy
of all positions, torch.optim.Adam). Batches are drawn evenly from short to long sentences; --epoch takes all of them.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "data", nargs="?", help="folder of fairseq-preprocess --only-source (default: made-up sentences)"
    )
    parser.add_argument("--arch", default="gru_vae", choices=("gru_vae", "gru_vae_small", "gru_vae_tiny"))
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--batches", type=int, default=40, help="how many are measured")
    parser.add_argument("--epoch", action="store_true", help="measure all batches of the training set")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch
    from tabulate import tabulate
    from training import _silence

    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        data = args.data or _made_up(Path(folder), min(MADE_UP, 4 * args.batches * args.batch_size))
        trainers = {name: _trainer(args, data, *flags) for name, flags in SYSTEMS.items()}
    task = trainers[OURS].task
    with _silence():
        iterator = trainers[OURS].get_train_iterator(epoch=1, load_dataset=False)
    composed = sorted(iterator.frozen_batches, key=lambda rows: max(task.datasets["train"].size(row) for row in rows))
    count = len(composed) if args.epoch else min(args.batches, len(composed))
    chosen = [composed[round((index + 0.5) * len(composed) / count - 0.5)] for index in range(count)]
    bare = BareLoop(trainers[OURS].model, task.dictionary)
    sentences = task.datasets["train"]

    def through_fairseq(trainer):
        return lambda rows: trainer.train_step([sentences.collater([sentences[row] for row in rows])])

    steps = {BARE: lambda rows: bare.step([sentences[row]["source"] for row in rows])}
    steps |= {name: through_fairseq(trainer) for name, trainer in trainers.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for rows in [chosen[len(chosen) // 2], *chosen]:  # the first one warms up
        for name, step in steps.items():
            start = time.perf_counter()
            step(rows)
            seconds[name].append(time.perf_counter() - start)

    rows = []
    for name, times in ((name, times[1:]) for name, times in seconds.items()):
        ratios = [ours / theirs for ours, theirs in zip(times, seconds[BARE][1:], strict=True)]
        total, ratio = sum(times), sum(times) / sum(seconds[BARE][1:])
        rows.append([name, f"{total * len(composed) / count:,.0f}", f"{ratio:.2f}", f"{statistics.median(ratios):.2f}"])
    headers = ["system", "s/epoch", "× bare loop", "median of steps"]
    print(tabulate(rows, headers, tablefmt="pipe", disable_numparse=True, colalign=("left", "right", "right", "right")))
    print(
        f"\n{count} of {len(composed)} batches of {args.batch_size}, {len(task.dictionary):,} words, {args.threads} threads"
    )


MADE_UP = 42068  # sentences of the Penn Treebank
BARE, OURS = "bare PyTorch loop", "fairseq-train, gru_vae"
SYSTEMS = {OURS: (), f"{OURS}, --autocast bfloat16": ("--autocast", "bfloat16")}


class BareLoop:
    """A sentence VAE by hand, of the modules of a model of ours, copied."""

    def __init__(self, model, words):
        import copy

        import torch

        self.encoder, self.decoder = copy.deepcopy(model.encoder), copy.deepcopy(model.decoder)
        self.pad, self.end = words.pad(), words.eos()
        self.parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.optimiser = torch.optim.Adam(self.parameters, 1e-3)

    def step(self, sentences) -> float:
        """One update on these sentences (T) each."""
        import torch
        import torch.nn.functional as F
        from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

        encoder, decoder = self.encoder, self.decoder
        target = pad_sequence(sentences, batch_first=True, padding_value=self.pad)  # (B, T)
        lengths = torch.tensor([len(sentence) for sentence in sentences])
        previous = torch.cat([torch.full_like(target[:, :1], self.end), target[:, :-1]], dim=1)
        packed = pack_padded_sequence(encoder.embed_tokens(target), lengths, batch_first=True, enforce_sorted=False)
        mean, logvar = encoder.posterior_net(encoder.gru(packed)[1][-1]).chunk(2, -1)
        kl = 0.5 * (mean.square() + logvar.exp() - logvar - 1).sum()
        z = mean + (logvar / 2).exp() * torch.randn_like(mean)
        embedded = F.dropout(decoder.embed_tokens(previous), decoder.dropout_in)
        beside = z.unsqueeze(1).expand(-1, target.size(1), -1)
        states, _ = decoder.gru(torch.cat([embedded, beside], dim=-1), decoder.first_state(z).unsqueeze(0))
        logits = decoder.output_projection(F.dropout(states, decoder.dropout_out))
        nll = F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=self.pad, reduction="sum")
        loss = (nll + kl) / len(sentences)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 5.0)
        self.optimiser.step()
        return loss.item()


def _trainer(args: argparse.Namespace, data: str, *flags: str):
    """As fairseq-train builds it, on the CPU, with the optimiser of the table of remedies."""
    import torch
    from fairseq import options, tasks
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from fairseq.trainer import Trainer
    from training import _silence

    import fairseq_latent

    plug_in = ["--user-dir", str(Path(fairseq_latent.__file__).parent), "--task", "text_vae", "--arch", args.arch]
    optimiser = [
        "--criterion",
        "elbo",
        "--optimizer",
        "adam",
        "--lr",
        "1e-3",
        "--clip-norm",
        "5",
        "--cpu",
        "--seed",
        "1",
    ]
    command = [data, *plug_in, *optimiser, "--batch-size", str(args.batch_size), "--num-workers", "0", *flags]
    with _silence():
        cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), command))
        torch.manual_seed(1)
        task = tasks.setup_task(cfg.task)
        task.load_dataset("train")
        model = task.build_model(cfg.model)
        trainer = Trainer(cfg, task, model, task.build_criterion(cfg.criterion))
        trainer.begin_epoch(1)
    return trainer


def _made_up(folder: Path, sentences: int) -> str:
    """Binarised random words, as many and as long as the Penn Treebank's sentences."""
    import contextlib
    import io
    import sys
    from unittest import mock

    import numpy as np
    from fairseq_cli import preprocess
    from training import _silence

    rng = np.random.default_rng(1)
    lengths = rng.gamma(4.5, 4.7, sentences).astype(int).clip(1, 82)  # mean 21, as there
    lines = [" ".join(f"w{word}" for word in rng.integers(0, 9999, length)) for length in lengths]
    (folder / "train.txt").write_text("\n".join(lines) + "\n")
    command = [
        "fairseq-preprocess",
        "--only-source",
        "--trainpref",
        str(folder / "train.txt"),
        "--destdir",
        str(folder / "bin"),
    ]
    with _silence(), mock.patch.object(sys, "argv", command), contextlib.redirect_stderr(io.StringIO()):
        preprocess.cli_main()
    return str(folder / "bin")


if __name__ == "__main__":
    main()
