#!/usr/bin/env python3
"""What K latent samples cost: a whole training step of T-CVAE at many K, beside K = 1 and fairseq's own Transformer.

    python benchmarks/k_samples.py --json k_samples.json

Every step is compared with a step of K = 1 on the same batch just before it, and each ratio is the median of these: a
machine that slows down slows both. CPU time, of all threads together, is given beside the time on the clock: other programs
hardly change it. Peak memory is measured in a process of its own for each system.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import cached_property

FLOAT32, BFLOAT16 = "float32", "bfloat16"
PLAIN = "plain"  # logits of all K with gradients


@dataclass
class System:
    """One row. k = 0: fairseq's `transformer`."""

    name: str
    k: int
    scoring: str = FLOAT32
    words: int = 0
    autocast: bool = False
    seconds: list[float] = field(default_factory=list)  # of each step
    ratios: list[float] = field(default_factory=list)  # to the step of K = 1 before it
    cpu_ratios: list[float] = field(default_factory=list)
    peak: float | None = None  # MiB


def systems(args: argparse.Namespace) -> list[System]:
    """All rows of the table."""
    rows = [System("transformer (fairseq)", 0), System("T-CVAE, K = 1", 1)]
    for scoring, words in ((FLOAT32, 0), (BFLOAT16, 0), (BFLOAT16, args.words)):
        extent = f", {words:,} words" if words else ""
        rows += [System(f"K = {k}, {scoring}{extent}", k, scoring, words) for k in args.k]
    rows += [System(f"K = {k}, plain implementation", k, PLAIN) for k in args.plain]
    rows += [System("K = 1, --autocast bfloat16", 1, autocast=True)]
    rows += [System(f"K = {k}, --autocast bfloat16, {BFLOAT16}", k, BFLOAT16, autocast=True) for k in args.k if k == 5]
    return rows


class Steps:
    """One trainer a model, built when first used, and a training step of any system."""

    def __init__(self, args: argparse.Namespace):
        import torch
        from training import describe, make_batches, ours, without_seeds

        torch.set_num_threads(args.threads)
        self.args = args
        task = ours("t_cvae_tiny", args.vocabulary).task
        self.batches = make_batches(task, args.batches, args.max_tokens)
        self.stock_batches = [without_seeds(batch) for batch in self.batches]
        self.description = describe(self.batches, task.target_dictionary.pad())

    @cached_property
    def ours(self):
        """T-CVAE."""
        from training import ours

        return ours(self.args.arch, self.args.vocabulary)

    @cached_property
    def stock(self):
        """fairseq's Transformer."""
        from training import stock

        return stock(self.args.arch, self.args.vocabulary)

    def run(self, system: System, index: int) -> tuple[float, float]:
        """Seconds and CPU seconds of one whole update: forward, backward, clipping, Adam, logging."""
        if system.k:
            trainer, batch = self._configured(system), self.batches[index]
        else:
            trainer, batch = self.stock, self.stock_batches[index]
        start, cpu_start = time.perf_counter(), time.process_time()
        trainer.train_step([batch])
        return time.perf_counter() - start, time.process_time() - cpu_start

    def _configured(self, system: System):
        import torch

        criterion = self.ours.criterion
        criterion.k, criterion.selection_words, criterion.autocast = system.k, system.words, system.autocast
        criterion.selection_dtype = torch.bfloat16 if system.scoring == BFLOAT16 else torch.float32
        criterion.decode = self.plain if system.scoring == PLAIN else type(criterion).decode.__get__(criterion)
        return self.ours

    def plain(self, model, sample: dict):
        """Decode every latent with gradients and let argmin pick: what a first implementation does."""
        import torch

        from fairseq_latent.gaussian import LatentOutput
        from fairseq_latent.losses import sum_by_sentence

        net_input, target = sample["net_input"], sample["target"]
        prior, posterior, decoded = model.distributions(
            net_input["src_tokens"], net_input["prev_output_tokens"], target
        )
        k = self.ours.criterion.k
        z = posterior.rsample(torch.randn(k, *posterior.mean.shape))
        log_probs = decoded.logits(z).log_softmax(-1)  # (K, N, V)
        nll = -log_probs.gather(-1, decoded.words.expand(k, -1).unsqueeze(-1)).squeeze(-1)
        chosen = sum_by_sentence(nll, decoded.mask).argmin(0)  # (B,)
        rows = torch.arange(len(decoded.words))
        winner = log_probs[chosen[decoded.sentence[: len(rows)]], rows]
        return winner, {"latent": LatentOutput(z[0], prior, posterior)}


def measure(args: argparse.Namespace, rows: list[System]) -> str:
    """Fill in the seconds; return what was measured on."""
    from tqdm import tqdm

    steps = Steps(args)
    base = System("K = 1", 1)
    turns = [(repeat, row) for repeat in range(args.repeats + 1) for row in rows]
    for repeat, row in tqdm(turns, desc="steps", disable=None):
        for index in range(args.batches):
            before, cpu_before = steps.run(base, index)
            seconds, cpu_seconds = steps.run(row, index)
            if repeat:  # the first warms up
                row.seconds.append(seconds)
                row.ratios.append(seconds / before)
                row.cpu_ratios.append(cpu_seconds / cpu_before)
    return steps.description


def measure_memory(rows: list[System]) -> None:
    """Fill in the peaks, each from a process that trains one system alone."""
    from tqdm import tqdm

    for index, row in enumerate(tqdm(rows, desc="memory", disable=None)):
        command = [sys.executable, __file__, *sys.argv[1:], "--peak-of", str(index)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            row.peak = float(done.stdout.split()[-1])
        else:
            print(f"{row.name}: no peak, its process ended with {done.returncode}", file=sys.stderr)


def print_peak(args: argparse.Namespace, row: System) -> None:
    """The peak resident memory of this process, MiB, after two updates per batch."""
    import resource

    steps = Steps(args)
    for _ in range(2):
        for index in range(args.batches):
            steps.run(row, index)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def print_profile(args: argparse.Namespace) -> None:
    """Where the time of one float32 step at K = --profile goes, on one thread."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    args.threads = 1
    steps, system = Steps(args), System("", args.profile)
    steps.run(system, 0)
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        steps.run(system, 0)
    rows = sorted(recorded.key_averages(), key=lambda row: row.self_cpu_time_total, reverse=True)
    total = sum(row.self_cpu_time_total for row in rows)
    for row in rows[:15]:
        print(f"{100 * row.self_cpu_time_total / total:5.1f} %  {row.count:5} calls  {row.key}")
    print(f"\ntorch {torch.__version__}, {steps.description}")


def table(rows: list[System]) -> str:
    """Seconds, ratios and memory of every row."""
    from tabulate import tabulate

    stock, base = rows[0], rows[1]
    cells = []
    for row in rows:
        memory = [f"{row.peak:,.0f}", f"{row.peak / base.peak:.2f}"] if row.peak and base.peak else ["–", "–"]
        ratio = statistics.median(row.ratios)
        times = [ratio, statistics.median(row.cpu_ratios), ratio / statistics.median(stock.ratios)]
        cells.append([row.name, f"{statistics.median(row.seconds):.2f}", *(f"{value:.2f}" for value in times), *memory])
    headers = ["system", "s/step", "× K = 1", "in CPU time", "× transformer", "peak MiB", "× K = 1"]
    return tabulate(cells, headers, tablefmt="pipe", disable_numparse=True, colalign=("left", *["right"] * 6))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--arch", default="t_cvae", choices=("t_cvae", "t_cvae_small", "t_cvae_tiny"))
    parser.add_argument("--vocabulary", type=int, default=16000)
    parser.add_argument("--max-tokens", type=int, default=2000, help="of a padded batch; about half are real")
    parser.add_argument("--batches", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--k", type=int, nargs="+", default=[2, 5, 10, 20, 40])
    parser.add_argument("--plain", type=int, nargs="*", default=[2, 5, 10], help="K of the plain implementation")
    parser.add_argument("--words", type=int, default=4096, help="of --selection-words, in the rows that have it")
    parser.add_argument("--no-memory", action="store_true", help="leave the peaks out")
    parser.add_argument("--json", metavar="FILE", help="write all numbers there")
    parser.add_argument("--profile", type=int, metavar="K", help="only print where the time of a step goes")
    parser.add_argument("--peak-of", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if args.json and not os.path.isdir(os.path.dirname(args.json) or "."):
        parser.error(f"--json {args.json}: no such folder")  # not after the measurement
    rows = systems(args)
    if args.peak_of is not None:
        print_peak(args, rows[args.peak_of])
        return
    if args.profile is not None:
        print_profile(args)
        return
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if processors < args.threads:
        print(
            f"{processors} processor for {args.threads} threads: they share it, and times say little", file=sys.stderr
        )
    from fairseq_latent.doctor import precision

    faster = precision.faster()
    if faster < 1.2:
        print(f"bfloat16 products are {faster:.1f} times as fast as float32 here: no units for them", file=sys.stderr)
    batches = measure(args, rows)
    if not args.no_memory:
        measure_memory(rows)
    import torch

    about = {
        "processors": f"{processors}, {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
        "torch": torch.__version__,
        "bfloat16": f"products {faster:.1f} times as fast as float32",
        "batches": batches,
        "repeats": args.repeats,
    }
    print(table(rows))
    print("\n" + "\n".join(f"{name}: {value}" for name, value in about.items()))
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({**about, "command": sys.argv, "rows": [asdict(row) for row in rows]}, file, indent=1)


if __name__ == "__main__":
    main()
