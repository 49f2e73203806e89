#!/usr/bin/env python3
"""What latents at two slots do to a language model that never saw any, by where they stand and how they are mixed in again.

    python benchmarks/latent_slots.py data-bin/convai2_personas --lm-path smollm2

For the first examples of a split: lengths (L2 norms) of states at the slots and at words, after a quarter, half and all of
the blocks; KL of the next token (nats) between two samples z of N(0, I), and between fader 0 and 1 at one z; and what the
latents cost, nats per response token beside the same model without slots. No weight is trained.
"""

import argparse
import statistics
from argparse import Namespace

PLACES, SCALES, FADERS = ("start", "after_bos"), ("none", "raw", "state"), ("signs", "ones", "blend")
HEADER = [
    "slots",
    "mixed in",
    "fader",
    "slot 1/4",
    "1/2",
    "all",
    "words 1/4",
    "1/2",
    "all",
    "KL of z",
    "KL of fader",
    "cost",
]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", help="folder made by scripts/prepare.sh with PERSONAS=yes and the model's tokens")
    parser.add_argument("--lm-path", help="a language model's folder (default: a fresh GPT-2)")
    parser.add_argument("--arch", default="persona_cvae_gpt2_small", help="of a fresh GPT-2")
    parser.add_argument("--split", default="valid")
    parser.add_argument("--examples", type=int, default=32)
    parser.add_argument("--inject-after", default="auto")
    parser.add_argument("--faders", nargs="+", choices=FADERS, default=["signs"])
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    from tabulate import tabulate

    import fairseq_latent

    fairseq_latent.register()
    task, sample = read(args)
    alone = nats(built(args, task, no_latents=True), sample)
    rows = [
        measured(args, task, sample, alone, place, scale, fader)
        for place in PLACES
        for scale in SCALES
        for fader in args.faders
    ]
    print(tabulate(rows, HEADER, tablefmt="pipe", disable_numparse=True))
    measured_on = f"{args.examples} examples of {args.split}, seed {args.seed}"
    print(f"\n{args.lm_path or args.arch}: {alone:.3f} nats per token without slots; {measured_on}")


def read(args: argparse.Namespace):
    """The task, and one batch of the split."""
    from fairseq_latent.tasks.persona_dialogue import PersonaDialogueConfig, PersonaDialogueTask

    config = PersonaDialogueConfig(
        data=args.data, seed=args.seed, update_freq=[1], dataset_impl=None, train_subset="train",
        required_seq_len_multiple=1,
    )  # fmt: skip
    task = PersonaDialogueTask.setup_task(config)
    task.load_dataset(args.split)
    dataset = task.dataset(args.split)
    return task, dataset.collater([dataset[index] for index in range(min(args.examples, len(dataset)))])


def built(args: argparse.Namespace, task, **options):
    """A model in evaluation mode, its role vector zero: no language model ever saw one."""
    import torch
    from fairseq.models import ARCH_CONFIG_REGISTRY

    from fairseq_latent.models.persona_cvae_gpt2 import PersonaCVAEConfig, PersonaCVAEModel

    chosen = Namespace(gpt2_path=args.lm_path, symbols_from="end" if args.lm_path else "mean", **options)
    ARCH_CONFIG_REGISTRY[args.arch](chosen)
    torch.manual_seed(args.seed)
    model = PersonaCVAEModel.build_model(Namespace(**{**vars(PersonaCVAEConfig()), **vars(chosen)}), task).eval()
    model.encoder.embedding.marks.weight.data.zero_()
    return model


def logits(model, sample: dict, z=None, fader=None):
    """(N, V) of the response tokens under the given latents."""
    import torch

    inputs = sample["net_input"]
    size = len(sample["target"])
    with torch.no_grad():
        out = {"src_tokens": [inputs["src_tokens"]]}
        empty = torch.zeros(size, 0)
        out["latent"], out["fader"] = [empty if z is None else z], [empty if fader is None else fader]
        found, _ = model.decoder(inputs["prev_output_tokens"], out)
    return found[sample["target"].ne(model.decoder.embedding.pad)].float()


def nats(model, sample: dict, *latents) -> float:
    """A response token's NLL."""
    import torch.nn.functional as F

    target = sample["target"][sample["target"].ne(model.decoder.embedding.pad)]
    return float(F.cross_entropy(logits(model, sample, *latents), target))


def measured(
    args: argparse.Namespace, task, sample: dict, alone: float, place: str, scale: str, fader: str
) -> list[str]:
    """A row of the table."""
    import torch

    mixing = {"inject_weight": 0.0} if scale == "none" else {"inject_scale": scale, "inject_after": args.inject_after}
    model = built(args, task, latents_at=place, fader_direction=fader, **mixing)
    size, dim = len(sample["target"]), model.latent_dim
    generator = torch.Generator().manual_seed(args.seed)
    one, other = (torch.randn(size, dim, generator=generator) for _ in range(2))
    low, middle, high = (model.encoder.latents.of_number(torch.full((size,), value)) for value in (0.0, 0.5, 1.0))
    lengths = Lengths(model.decoder.body)
    first = logits(model, sample, one, middle).log_softmax(-1)
    second = logits(model, sample, other, middle).log_softmax(-1)
    lengths.remove()
    faders = [logits(model, sample, one, each).log_softmax(-1) for each in (low, high)]
    values = [f"{value:,.0f}" for value in lengths.found()]
    values += [f"{divergence(*pair):.4f}" for pair in ((first, second), faders)]
    return [place, scale, fader, *values, f"{nats(model, sample, one, middle) - alone:+.3f}"]


def divergence(one, other) -> float:
    """Mean KL of two tables of log probabilities (N, V), nats."""
    return float((one.exp() * (one - other)).sum(-1).mean())


class Lengths:
    """Norms of the states that leave a quarter, half and all of the blocks, as hooks see them."""

    def __init__(self, body):
        from fairseq_latent.modules.language_models.body import blocks_of

        self.body, self.slots, self.words = body, {}, {}
        blocks = blocks_of(body.model)
        self.after = [max(1, len(blocks) // 4), max(1, len(blocks) // 2), len(blocks)]
        self.hooks = [blocks[number - 1].register_forward_hook(self._look(number)) for number in self.after]

    def _look(self, number: int):
        def look(block, inputs, output) -> None:
            states = (output[0] if isinstance(output, tuple) else output)[0]
            places = self.body._places.flatten().tolist()
            norms = states.norm(dim=-1)
            kept = sorted(set(range(len(norms))) - set(places))
            self.slots.setdefault(number, []).extend(norms[places].tolist())
            self.words.setdefault(number, []).extend(norms[kept].tolist())

        return look

    def remove(self) -> None:
        """Look no longer."""
        for hook in self.hooks:
            hook.remove()

    def found(self) -> list[float]:
        """Medians: of slots after each of the three, of words after each."""
        return [statistics.median(kind[number]) for kind in (self.slots, self.words) for number in self.after]


if __name__ == "__main__":
    main()
