#!/usr/bin/env python3
"""Beam search with T-CVAE beside fairseq's Transformer of the same size, and with several latents per context.

    python benchmarks/generation.py

Untrained models, so that all hypotheses have the same length; systems take turns, ratios are medians over repeats.
"""

import argparse
import os
import statistics
import time
from argparse import Namespace


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--arch", default="t_cvae", choices=("t_cvae", "t_cvae_small", "t_cvae_tiny"))
    parser.add_argument("--vocabulary", type=int, default=16000)
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--latents", type=int, default=5, help="of --latent-samples")
    parser.add_argument("--length", type=int, default=20, help="words per response")
    parser.add_argument("--max-tokens", type=int, default=700, help="of a padded batch of contexts")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch
    from tabulate import tabulate
    from training import make_batches, ours, stock, without_seeds

    torch.set_num_threads(args.threads)
    decoding = {"beam": args.beam, "max_len_a": 0, "max_len_b": args.length, "min_len": args.length, "lenpen": 1.2}
    trainers = {"transformer (fairseq)": stock(args.arch, args.vocabulary), "T-CVAE": ours(args.arch, args.vocabulary)}
    (batch,) = make_batches(trainers["T-CVAE"].task, 1, args.max_tokens)
    several = f"T-CVAE, {args.latents} latents"
    steps = {}
    for name, trainer in trainers.items():
        trainer.model.prepare_for_inference_(trainer.cfg)
        trainer.model.eval()
        generator = trainer.task.build_generator([trainer.model], Namespace(**decoding))
        sample = batch if name == "T-CVAE" else without_seeds(batch)
        steps[name] = lambda t=trainer, g=generator, s=sample: t.task.inference_step(g, [t.model], s)
    task = trainers["T-CVAE"].task

    def with_latents():
        task.cfg.latent_samples = args.latents
        try:
            steps["T-CVAE"]()
        finally:
            task.cfg.latent_samples = 1

    systems = {**steps, several: with_latents}
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for repeat in range(args.repeats + 1):
        for name, step in systems.items():
            start = time.perf_counter()
            step()
            if repeat:  # the first warms up
                seconds[name].append(time.perf_counter() - start)

    def ratio(name: str, base: str) -> str:
        return f"{statistics.median(a / b for a, b in zip(seconds[name], seconds[base], strict=True)):.3f}"

    rows = [
        [name, f"{statistics.median(times):.3f}", ratio(name, "transformer (fairseq)"), ratio(name, "T-CVAE")]
        for name, times in seconds.items()
    ]
    print(tabulate(rows, ["system", "s/batch", "× transformer", "× T-CVAE"], tablefmt="pipe", disable_numparse=True))
    print(f"\n{batch['target'].size(0)} contexts, beam {args.beam}, {args.length} words, {args.threads} threads")


if __name__ == "__main__":
    main()
