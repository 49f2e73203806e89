#!/usr/bin/env python3
"""What docs/cluster.md lists, tried on this machine's GPU; scripts/cluster/check_gpu.sh calls it.

Each check trains, decodes or measures, and gives one line: whether what must hold holds, and its figures. A check that fails
does not end the others. The lines of docs/cluster.md that were tried follow the table, with what was found.
"""

import argparse
import contextlib
import os
import re
import resource
import statistics
import sys
import tempfile
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from programs import ON_CPU, ON_GPU, Runs

PAGE = Path(__file__).parents[2] / "docs/cluster.md"
NOT_RUN = re.compile(r"not run: no GPU at hand|on a GPU not run")
K = (1, 5, 40)
SLACK = 1.1  # memory at the largest K over that at K = 1


@dataclass
class Found:
    """A line of the table: what was tried, whether what must hold holds, figures. row: how its line of the page begins."""

    what: str
    holds: bool
    figures: str
    row: str = ""


# --- checks ----------------------------------------------------------------------------------------------------------


def losses_of(log: list[dict]) -> list[float]:
    """Of each update."""
    return [float(numbers["loss"]) for numbers in log]


def speed_of(log: list[dict]) -> str:
    """Tokens per second over the second half of a training."""
    rates = [float(numbers["wps"]) for numbers in log[len(log) // 2 :] if float(numbers.get("wps", 0))]
    return f"{statistics.median(rates):,.0f} tokens/s" if rates else "too short for a speed"


def gigabytes_of(log: list[dict]) -> float | None:
    """The most that was allocated on the GPU."""
    import torch

    free = [float(numbers["gb_free"]) for numbers in log if "gb_free" in numbers]
    if not free:
        return None
    return torch.cuda.get_device_properties(0).total_memory / 2**30 - min(free)


def precisions(runs: Runs) -> Iterator[Found]:
    """float32 and every other precision: all train, with about the loss of float32."""
    asked = {"float32": (), "bf16": ("--bf16",), "autocast": ("--autocast", "bfloat16")}
    if runs.on_gpu:
        asked |= {"fp16": ("--fp16",), "amp": ("--amp",)}
    expected = None
    for name, flags in asked.items():
        log = runs.train(name, *flags)
        last = statistics.mean(losses_of(log)[-max(1, len(log) // 5) :])
        expected = last if expected is None else expected
        memory = gigabytes_of(log)
        figures = f"loss {losses_of(log)[0]:.1f} to {last:.1f}, {speed_of(log)}" + (
            f", {memory:.1f} GB" if memory else ""
        )
        holds = abs(last / expected - 1) < 0.05 and len(log) >= runs.scale.updates - 4  # fp16 looks for its scale first
        yield Found(name, holds, figures, {"amp": "autocast"}.get(name, name))


def memory(runs: Runs) -> Iterator[Found]:
    """It does not grow with K."""
    used = [gigabytes_of(runs.train(f"k{k}", "--k", k, "--selection-dtype", "bfloat16")) for k in (K[0], K[-1])]
    figures = (
        "the CPU has no such counter" if None in used else f"{used[0]:.2f} GB at K = 1, {used[1]:.2f} GB at K = 40"
    )
    yield Found("memory at K = 40", None in used or used[1] <= SLACK * used[0], figures, "memory does not grow")


def repeated(runs: Runs) -> Iterator[Found]:
    """The same command twice gives the same parameters; with every kernel, and without the one that adds up in any order."""
    import torch

    def equal() -> bool:
        models = []
        for name in ("once", "twice"):
            runs.train(name)
            path = runs.folder / name / "checkpoint_last.pt"
            models.append(torch.load(path, map_location="cpu", weights_only=False)["model"])
        return all(torch.equal(models[0][name], models[1][name]) for name in models[0])

    holds = equal()
    figures = "equal parameters"
    if not holds and runs.on_gpu:
        torch.backends.cuda.enable_mem_efficient_sdp(False)
        holds = equal()
        torch.backends.cuda.enable_mem_efficient_sdp(True)
        figures = (
            f"{'equal' if holds else 'different'} parameters without memory-efficient attention, different with it"
        )
    yield Found("the same command twice", holds, figures, "the same command twice")


def decoding(runs: Runs) -> Iterator[Found]:
    """Texts of the GPU are those of the CPU, but for ties; in half precision too, mostly."""
    several = ("--latent-samples", 5)
    here, seconds = runs.decode("float32", *several)
    others = {"the CPU": ("--cpu",)} | ({"fp16": ("--fp16",)} if runs.on_gpu else {})
    parts, holds = [f"{len(here) / seconds:,.0f} responses/s with start-up"], bool(here)
    for name, flags in others.items():
        found, _ = runs.decode("float32", *several, *flags)
        same = sum(here[place] == text for place, text in found.items()) / max(1, len(found))
        parts.append(
            f"{100 * same:.1f} % as on the CPU" if name == "the CPU" else f"{100 * same:.1f} % the same in {name}"
        )
        holds = holds and same >= (0.98 if name == "the CPU" else 0.5)
    yield Found("decoding", holds, ", ".join(parts), "decoding")


def timed(step: Callable[[], object], repeats: int, on_gpu: bool) -> float:
    """Median seconds of a call, after one that warms up."""
    import torch

    times = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        step()
        if on_gpu:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def speed_of_k(runs: Runs) -> Iterator[Found]:
    """A whole update at many K, products in bfloat16: tokens of responses per second; where the host waits for the GPU."""
    import torch
    from training import make_batches, ours

    trainer = ours(runs.scale.base, runs.scale.vocabulary, cpu=not runs.on_gpu)
    (batch,) = make_batches(trainer.task, 1, runs.scale.max_tokens)
    trainer.criterion.autocast, trainer.criterion.selection_dtype = True, torch.bfloat16
    speeds = {}
    for k in K:
        trainer.criterion.k = k
        speeds[k] = batch["ntokens"] / timed(lambda: trainer.train_step([batch]), runs.scale.repeats, runs.on_gpu)
    figures = ", ".join(f"K = {k}: {speed:,.0f} tokens/s" for k, speed in speeds.items())
    yield Found(f"{runs.scale.base}, autocast and scoring in bfloat16", all(speeds.values()), figures, "best of 40")
    if runs.on_gpu:
        with mock.patch.object(torch.cuda, "synchronize"), _waits() as places:
            trainer.train_step([batch])
        figures = "; ".join(f"{count} at {place}" for place, count in places.most_common())
        yield Found("the host waits, per update", places.total() <= 12, f"{places.total()} times: {figures}")


@contextlib.contextmanager
def _waits() -> Iterator[Counter]:
    """Where torch warns of a synchronisation."""
    import warnings

    import torch

    places: Counter[str] = Counter()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            yield places
    finally:
        torch.cuda.set_sync_debug_mode("default")
    of_sync = [each for each in heard if "sync" in str(each.message)]
    places.update(f"{'/'.join(Path(each.filename).parts[-2:])}:{each.lineno}" for each in of_sync)


def compiled(runs: Runs) -> Iterator[Found]:
    """The scorer of K samples as it is, and through torch.compile."""
    import torch

    from fairseq_latent.selection import VocabularyScorer

    device = "cuda" if runs.on_gpu else "cpu"
    tokens, width = (4096, 512) if runs.on_gpu else (32, 16)
    weight = torch.randn(runs.scale.vocabulary, width, device=device) * 0.05
    target = torch.randint(runs.scale.vocabulary, (tokens,), device=device)
    hidden = torch.randn(tokens, width, device=device)
    score = VocabularyScorer(weight, target, torch.bfloat16)
    plain = timed(lambda: score(hidden), runs.scale.repeats, runs.on_gpu)
    if not runs.on_gpu:  # a compiler of C++ is not everywhere
        yield Found("torch.compile of the scorer", True, f"{1000 * plain:.1f} ms without; tried on a GPU alone")
        return
    begin = time.perf_counter()
    faster = torch.compile(score._normaliser, dynamic=True)
    columns = hidden.to(torch.bfloat16), torch.zeros(tokens, device=device)
    same = torch.allclose(faster(*columns), score._normaliser(*columns), atol=0.05)
    spent = time.perf_counter() - begin
    times = [timed(lambda f=f: f(*columns), runs.scale.repeats, True) for f in (score._normaliser, faster)]
    figures = f"{1000 * times[0]:.2f} ms as it is, {1000 * times[1]:.2f} ms compiled ({spent:.0f} s to compile)"
    yield Found("torch.compile of the scorer", same, figures)


def persona(runs: Runs) -> Iterator[Found]:
    """An update of the persona model at full size."""
    import torch
    from fairseq import utils
    from persona import built, made_up

    for precision in ("none", "bfloat16"):
        args = Namespace(arch=runs.scale.persona, k=1, autocast=precision)
        args.batch_size, args.tokens, args.vocabulary = runs.scale.persona_batch
        torch.manual_seed(1)
        model, criterion, words = built(args)
        sample = made_up(args, words)
        if runs.on_gpu:
            model, sample = model.cuda(), utils.move_to_cuda(sample)
            torch.cuda.reset_peak_memory_stats()
        optimiser, losses = torch.optim.Adam(model.parameters(), 2.6e-5), []

        def step(model=model, criterion=criterion, sample=sample, optimiser=optimiser, losses=losses) -> None:
            optimiser.zero_grad()
            loss, count, _ = criterion(model, sample)
            (loss / count).backward()
            optimiser.step()
            losses.append(loss.detach())

        seconds = timed(step, runs.scale.repeats, runs.on_gpu)
        parameters = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        held = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        most = torch.cuda.max_memory_allocated() if runs.on_gpu else held
        figures = (
            f"{args.batch_size} x {args.tokens}: {seconds:.3f} s/update, {most / 2**30:.1f} GB, {parameters:,.0f} M"
        )
        name = f"{runs.scale.persona}, {'bfloat16' if precision == 'bfloat16' else 'float32'}"
        yield Found(name, bool(losses[-1].isfinite()), figures)
        del model, optimiser, step


CHECKS = (precisions, memory, repeated, decoding, speed_of_k, compiled, persona)

# --- printing --------------------------------------------------------------------------------------------------------


def page_lines(page: str, found: list[Found], device: str) -> list[str]:
    """The rows of docs/cluster.md that were tried, with what was found in place of `not run`."""
    lines = []
    for line in page.splitlines():
        tried = [each for each in found if each.row and line.startswith(f"| {each.row}")]
        if tried and NOT_RUN.search(line):
            names = [f"{each.what}: " if len(tried) > 1 else "" for each in tried]
            failed = ["" if each.holds else " (FAILED)" for each in tried]
            verdict = "; ".join(map("".join, zip(names, (each.figures for each in tried), failed, strict=True)))
            lines.append(NOT_RUN.sub(f"{device}: {verdict}".replace("\\", r"\\"), line, count=1))
    return lines


def main() -> int:
    """Try everything and print it; 1 if anything does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", help="a binarised folder of contexts and responses, e.g. data-bin/quickstart")
    parser.add_argument("--cpu", action="store_true", help="a small form on the CPU, to try the checks themselves")
    parser.add_argument("--only", nargs="+", choices=[check.__name__ for check in CHECKS], help="some of the checks")
    args = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch
    from tabulate import tabulate

    import fairseq_latent

    fairseq_latent.register()
    if not args.cpu and not torch.cuda.is_available():
        parser.error("torch sees no GPU here; remedy: --cpu, or fairseq-latent doctor")
    device = "CPU" if args.cpu else torch.cuda.get_device_name(0)
    begin, found = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(args, ON_CPU if args.cpu else ON_GPU, Path(folder))
        for check in CHECKS:
            if args.only and check.__name__ not in args.only:
                continue
            try:
                found += check(runs)
            except (Exception, SystemExit) as error:
                found.append(
                    Found(check.__name__, False, f"{type(error).__name__}: {str(error).splitlines()[0][:200]}")
                )
            print(f"{check.__name__}: {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
    rows = [[each.what, "yes" if each.holds else "NO", each.figures] for each in found]
    print(tabulate(rows, ["what", "holds", "figures"], tablefmt="pipe", disable_numparse=True))
    print(f"\n{device}, torch {torch.__version__}, {time.perf_counter() - begin:.0f} s\n\nLines for docs/cluster.md:\n")
    print("\n".join(page_lines(PAGE.read_text("utf-8"), found, device)))
    return int(not all(each.holds for each in found))


if __name__ == "__main__":
    sys.exit(main())
