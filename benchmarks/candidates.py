#!/usr/bin/env python3
"""What candidates cost a training step of TransferTransfo: as branches of one prompt, and each as a sequence of its own.

    python benchmarks/candidates.py data-bin/convai2_personas --candidates 4 --batch-size 16

Times are of forward and backward passes on the same batches of a split, each system in turn, medians of `--repeats` rounds,
beside the step with the right reply alone. Real tokens are those that are computed: pads cost no linear layer.
"""

import argparse
import statistics
import time
from argparse import Namespace

SIZES = ("embed_dim", "layers", "heads", "positions")
HEADER = ["step", "seconds", "relative", "tokens per example"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", help="folder made by scripts/prepare.sh with PERSONAS=yes")
    parser.add_argument("--arch", default="transfertransfo_small")
    for name in SIZES:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help="(default: that of --arch)")
    parser.add_argument("--split", default="valid")
    parser.add_argument("--candidates", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    import torch
    from tabulate import tabulate

    import fairseq_latent

    fairseq_latent.register()
    torch.set_num_threads(args.threads)
    task, model, batches = read(args)
    systems = {
        "the right reply alone": lambda sample: [one(sample)],
        f"{args.candidates} candidates in one sequence": lambda sample: [sample],
        f"{args.candidates} candidates, a sequence each": apart,
    }
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(1 + args.repeats):
        for name, parts in systems.items():
            begun = time.perf_counter()
            for sample in batches:
                step(model, parts(sample))
            seconds[name].append(time.perf_counter() - begun)
    medians = {
        name: statistics.median(found[1:]) / len(batches) for name, found in seconds.items()
    }  # the first warms up
    base = next(iter(medians.values()))
    rows = [
        [name, f"{medians[name]:.2f}", f"{medians[name] / base:.2f}", f"{tokens(batches, parts):.0f}"]
        for name, parts in systems.items()
    ]
    print(tabulate(rows, HEADER, tablefmt="pipe", disable_numparse=True))


def read(args: argparse.Namespace):
    """Task, model and batches of the split, with candidates drawn from other dialogues where it has none."""
    import torch
    from fairseq.models import ARCH_CONFIG_REGISTRY

    from fairseq_latent.criterions.double_heads import DoubleHeadsConfig, DoubleHeadsCriterion
    from fairseq_latent.models.transfertransfo import TransferTransfoConfig
    from fairseq_latent.tasks.persona_dialogue import PersonaDialogueConfig, PersonaDialogueTask

    config = PersonaDialogueConfig(
        data=args.data, seed=args.seed, update_freq=[1], dataset_impl=None, train_subset="train",
        required_seq_len_multiple=1, candidates=args.candidates, valid_candidates=args.candidates,
        best_checkpoint_metric="loss",
    )  # fmt: skip
    task = PersonaDialogueTask.setup_task(config)
    chosen = Namespace(**{name: size for name in SIZES if (size := getattr(args, name)) is not None})
    ARCH_CONFIG_REGISTRY[args.arch](chosen)
    torch.manual_seed(args.seed)
    settings = {**vars(TransferTransfoConfig()), **vars(chosen), "_name": "transfertransfo"}
    model = task.build_model(Namespace(**settings)).train()
    criterion = DoubleHeadsCriterion(DoubleHeadsConfig(_name="double_heads"), task)
    criterion.equip(model)
    task._reads_candidates = criterion.reads_candidates
    task.load_dataset(args.split)
    dataset = task.dataset(args.split)
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(args.seed)).tolist()
    starts = range(0, args.batches * args.batch_size, args.batch_size)
    return task, model, [dataset.collater([dataset[row] for row in order[at : at + args.batch_size]]) for at in starts]


def one(sample: dict) -> dict:
    """The batch without its wrong replies."""
    inputs = {name: value for name, value in sample["net_input"].items() if name != "distractors"}
    return {**sample, "net_input": inputs}


def apart(sample: dict) -> list[dict]:
    """The batch of the right replies, and as many batches as there are wrong ones, whose prompts are computed again."""
    parts = [one(sample)]
    for place in range(sample["net_input"]["distractors"].size(1)):
        wrong = sample["net_input"]["distractors"][:, place]
        parts.append({**one(sample), "target": wrong})
    return parts


def step(model, parts: list[dict]) -> None:
    """Forward and backward pass of both losses, over all parts together."""
    import torch
    import torch.nn.functional as F

    model.zero_grad()
    found = [model(**part["net_input"], target=part["target"]) for part in parts]
    target = parts[0]["target"][parts[0]["target"].ne(model.pad)]
    choice = torch.cat([extra["latent"].choice for _, extra in reversed(found)], 1)
    (F.cross_entropy(found[0][0], target) + (choice.logsumexp(-1) - choice[:, -1]).mean()).backward()


def tokens(batches: list[dict], parts) -> float:
    """Of an example, mean."""
    count = 0
    for sample in batches:
        for part in parts(sample):
            texts = [part["target"].unsqueeze(1)]
            if "distractors" in part["net_input"]:
                texts.append(part["net_input"]["distractors"])
            count += int(part["net_input"]["prompt"].ne(1).sum())
            count += sum(int(text.ne(1).sum()) + int(text[..., 0].ne(1).sum()) for text in texts)
    return count / sum(len(sample["target"]) for sample in batches)


if __name__ == "__main__":
    main()
