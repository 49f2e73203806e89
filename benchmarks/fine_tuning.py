#!/usr/bin/env python3
"""What an update of a language model's top blocks costs here, beside a plain loop with `transformers` on the same batches.

    python benchmarks/fine_tuning.py data-bin/convai2_personas --lm-path smollm2

Embeddings are frozen, the loss is that of the response. The plain loop pads its batches on the right and hands labels to the
library's model. Each system runs in a process of its own, one after the other, in rounds; ratios are of medians. CPU seconds
are those of all threads, memory is the most that the process held.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from argparse import Namespace

SYSTEMS = {
    "plain": "transformers, a plain loop",
    "no_latents": "this package, --no-latents",
    "latents": "this package, latents and their networks",
}


def main() -> None:
    """Measure and print, or with --system one of them alone."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", help="folder made by scripts/prepare.sh with PERSONAS=yes and the model's tokens")
    parser.add_argument("--lm-path", required=True, help="a language model's folder")
    parser.add_argument("--train-blocks", type=int, default=15, help="how many of the top blocks learn")
    parser.add_argument("--batch-size", type=int, default=8, help="responses per update")
    parser.add_argument("--updates", type=int, default=6, help="after one that warms up")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--autocast", choices=("none", "bfloat16"), default="bfloat16")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--system", choices=SYSTEMS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.system:
        print(json.dumps(one(args)))
        return
    from tabulate import tabulate

    found: dict[str, list[dict]] = {name: [] for name in SYSTEMS}
    for _ in range(args.rounds):
        for name, runs in found.items():
            done = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--system", name], capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise SystemExit(done.stderr)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    plain = median(found["plain"], "cpu"), median(found["plain"], "wall")
    rows = []
    for name, runs in found.items():
        cpu, wall = median(runs, "cpu"), median(runs, "wall")
        ratios = (f"{cpu / plain[0]:.2f}", f"{wall / plain[1]:.2f}")
        memory = max(run["megabytes"] for run in runs)
        rows.append([SYSTEMS[name], f"{cpu:.2f}", f"{wall:.2f}", *ratios, f"{memory:,.0f}"])
    header = ["system", "CPU s/update", "wall s/update", "CPU ratio", "wall ratio", "MB, peak"]
    print(tabulate(rows, header, tablefmt="pipe", disable_numparse=True))
    measured = f"{args.autocast}, {args.threads} threads, medians of {args.rounds} x {args.updates} updates"
    print(f"\ntop {args.train_blocks} blocks, {args.batch_size} responses per update, {measured}")


def median(runs: list[dict], name: str) -> float:
    """Of all updates of all rounds."""
    return statistics.median(value for run in runs for value in run[name])


def one(args: argparse.Namespace) -> dict:
    """Times of one system's updates, and its memory."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    import fairseq_latent

    fairseq_latent.register()
    task, batches = read(args)
    step, parameters = (plain if args.system == "plain" else ours)(args, task)
    optimiser = torch.optim.AdamW(parameters, 2e-4)
    cpu, wall = [], []
    for batch in batches:
        begin = time.process_time(), time.perf_counter()
        optimiser.zero_grad()
        step(batch).backward()
        optimiser.step()
        cpu.append(time.process_time() - begin[0])
        wall.append(time.perf_counter() - begin[1])
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {"cpu": cpu[1:], "wall": wall[1:], "megabytes": megabytes}


def read(args: argparse.Namespace):
    """The task, and the first batches of the training split in random order."""
    import numpy as np

    from fairseq_latent.tasks.persona_dialogue import PersonaDialogueConfig, PersonaDialogueTask

    config = PersonaDialogueConfig(
        data=args.data, seed=args.seed, update_freq=[1], dataset_impl=None, train_subset="train",
        required_seq_len_multiple=1,
    )  # fmt: skip
    task = PersonaDialogueTask.setup_task(config)
    task.load_dataset("train")
    dataset = task.dataset("train")
    order = np.random.default_rng(args.seed).permutation(len(dataset))
    size = args.batch_size
    rows = [order[size * number : size * (number + 1)] for number in range(args.updates + 1)]
    return task, [dataset.collater([dataset[int(index)] for index in batch]) for batch in rows]


def ours(args: argparse.Namespace, task):
    """A step of this package's model and criterion, and what it trains."""
    from fairseq.models import ARCH_CONFIG_REGISTRY

    from fairseq_latent.criterions.podi_elbo import PodiELBOConfig, PodiELBOCriterion
    from fairseq_latent.models.persona_cvae_gpt2 import PersonaCVAEConfig, PersonaCVAEModel

    chosen = Namespace(
        gpt2_path=args.lm_path, freeze_embeddings=True, train_blocks=args.train_blocks, dropout=0.0, attention_dropout=0.0,
        no_latents=args.system == "no_latents", inject_after="every-3", latents_at="after_bos",
    )  # fmt: skip
    ARCH_CONFIG_REGISTRY["persona_cvae_gpt2"](chosen)
    options = Namespace(**{**vars(PersonaCVAEConfig()), **vars(chosen)})
    model = PersonaCVAEModel.build_model(options, task).train()
    weight = 0.0 if args.system == "no_latents" else 1.0
    criterion = PodiELBOCriterion(PodiELBOConfig(podi_weight=weight, autocast=args.autocast), task).train()

    def step(batch):
        loss, size, _ = criterion(model, batch)
        return loss / size

    return step, [parameter for parameter in model.parameters() if parameter.requires_grad]


def plain(args: argparse.Namespace, task):
    """The same of the library's own model: sequences padded on the right, labels of the response."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(args.lm_path, dtype=torch.float32).train()
    model.requires_grad_(False)
    for block in model.base_model.layers[-args.train_blocks :]:
        block.requires_grad_(True)
    words, end = task.target_dictionary, model.config.eos_token_id

    def ids(tokens) -> list[int]:
        return [int(words[token]) if words[token].isdecimal() else end for token in tokens.tolist()]

    def step(batch):
        rows, labels = [], []
        for context, response in zip(batch["net_input"]["src_tokens"], batch["target"], strict=True):
            before = ids(context[context.ne(words.pad())])
            after = ids(response[response.ne(words.pad())])
            rows.append(torch.tensor(before + after))
            labels.append(torch.tensor([-100] * len(before) + after))
        inputs = torch.nn.utils.rnn.pad_sequence(rows, True, end)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], True, 0)
        wanted = torch.nn.utils.rnn.pad_sequence(labels, True, -100)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.autocast == "bfloat16"):
            return model(input_ids=inputs, attention_mask=mask, labels=wanted).loss

    return step, [parameter for parameter in model.parameters() if parameter.requires_grad]


if __name__ == "__main__":
    main()
