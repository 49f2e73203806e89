#!/usr/bin/env python3
"""Memory and time of an update of the persona CVAE on GPT-2, with random weights and made-up tokens, to plan by.

    python benchmarks/persona.py --arch persona_cvae_gpt2

Context and response together have --tokens tokens, a fifth of them the response's; profiles have 60. The vocabulary is that
of GPT-2. Loss: the ELBO with L_Po-di; Adam in float32.
"""

import argparse
import os
import resource
import statistics
import time
from argparse import Namespace
from types import SimpleNamespace

PROFILE = 60


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--arch", default="persona_cvae_gpt2")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=200, help="of context and response together")
    parser.add_argument("--updates", type=int, default=3, help="after one that warms up")
    parser.add_argument("--k", type=int, default=1, help="latents of which the best is trained")
    parser.add_argument("--vocabulary", type=int, default=50257)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--autocast", choices=("none", "bfloat16"), default="none")
    args = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch
    from tabulate import tabulate

    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    model, criterion, words = built(args)
    weights = peak_megabytes()
    sample = made_up(args, words)
    optimiser = torch.optim.Adam(model.parameters(), 2.6e-5)
    seconds = []
    for _ in range(args.updates + 1):
        begin = time.perf_counter()
        optimiser.zero_grad()
        loss, size, _ = criterion(model, sample)
        (loss / size).backward()
        optimiser.step()
        seconds.append(time.perf_counter() - begin)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    batch, memory = f"{args.batch_size} x {args.tokens}", (f"{each:,.0f}" for each in (weights, peak_megabytes()))
    row = [args.arch, f"{parameters / 1e6:,.0f}", batch, args.k, args.autocast, *memory]
    row.append(f"{statistics.median(seconds[1:]):.1f}")
    print(tabulate([row], HEADER, tablefmt="pipe", disable_numparse=True))
    print(f"\n{args.threads} threads, median of {args.updates} updates, vocabulary {len(words):,}")


HEADER = ["architecture", "M parameters", "batch", "K", "autocast", "MB, weights", "MB, peak", "s/update"]


def built(args: argparse.Namespace):
    """(model, criterion, dictionary), as fairseq-train builds them."""
    import fairseq_latent

    fairseq_latent.register()
    from fairseq.data import Dictionary
    from fairseq.models import ARCH_CONFIG_REGISTRY

    from fairseq_latent.criterions.podi_elbo import PodiELBOConfig, PodiELBOCriterion
    from fairseq_latent.models.persona_cvae_gpt2 import PersonaCVAEConfig, PersonaCVAEModel
    from fairseq_latent.symbols import USER_SYMBOLS

    words = Dictionary()
    for word in (*map(str, range(args.vocabulary)), *USER_SYMBOLS):
        words.add_symbol(word)
    task = SimpleNamespace(source_dictionary=words, target_dictionary=words, reads_profiles=True)
    chosen = Namespace()
    ARCH_CONFIG_REGISTRY[args.arch](chosen)
    model = PersonaCVAEModel.build_model(Namespace(**{**vars(PersonaCVAEConfig()), **vars(chosen)}), task).train()
    return model, PodiELBOCriterion(PodiELBOConfig(k=args.k, autocast=args.autocast), task).train(), words


def made_up(args: argparse.Namespace, words) -> dict:
    """One batch of random tokens."""
    import torch

    def tokens(length: int):
        rows = torch.randint(words.nspecial, len(words), (args.batch_size, length))
        rows[:, -1] = words.eos()
        return rows

    target = tokens(args.tokens // 5)
    previous = target.roll(1, 1)
    context = tokens(args.tokens - args.tokens // 5)
    inputs = {"src_tokens": context, "src_lengths": torch.full((args.batch_size,), context.size(1))}
    inputs |= {
        "prev_output_tokens": previous,
        "partner_tokens": tokens(PROFILE),
        "similarity": torch.rand(args.batch_size),
    }
    return {"net_input": inputs, "target": target, "ntokens": target.numel(), "id": torch.arange(args.batch_size)}


def peak_megabytes() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main()
