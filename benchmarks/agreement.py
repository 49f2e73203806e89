#!/usr/bin/env python3
"""How often cheaper scoring of K latents chooses the sample that exact scoring chooses, on a trained model.

    python benchmarks/agreement.py data-bin/quickstart runs/quickstart/speculative_k5/checkpoint_best.pt

Exact: float32, all words. The regret is how much less likely the response is under the cheaper choice, in nats per sentence.
"""

import argparse

from tabulate import tabulate


def main() -> None:
    """Score the same samples in every way and count."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", help="folder made by fairseq-preprocess")
    parser.add_argument("checkpoint")
    parser.add_argument("--split", default="valid")
    parser.add_argument("--k", type=int, nargs="+", default=[5, 40])
    parser.add_argument("--words", type=int, nargs="+", default=[500, 1000, 2000], help="of --selection-words")
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if min(args.sentences, args.batch_size, *args.k, *args.words) < 1:
        parser.error("--sentences, --batch-size, --k and --words take numbers of 1 and more")
    import torch

    import fairseq_latent  # noqa: F401
    from fairseq_latent.evaluation.analysis.checkpoint import load

    trained = load(args.checkpoint, args.data, args.split, args.seed, cpu=True)
    sentences = min(args.sentences, len(trained.task.dataset(args.split)))
    torch.manual_seed(args.seed)
    rows = []
    for k in args.k:
        ways = {"bfloat16, all words": (torch.bfloat16, 0)}
        ways |= {f"bfloat16, {words:,} words": (torch.bfloat16, words) for words in args.words}
        same, regret = dict.fromkeys(ways, 0.0), dict.fromkeys([*ways, "any sample"], 0.0)
        for start in range(0, sentences, args.batch_size):
            batch = trained.examples(list(range(start, min(start + args.batch_size, sentences))))
            inputs = batch["net_input"]
            with torch.no_grad():
                _, posterior, decoded = trained.model.distributions(
                    inputs["src_tokens"], inputs["prev_output_tokens"], batch["target"]
                )
                z = posterior.rsample(torch.randn(k, *posterior.mean.shape))
                exact = decoded.nll(z)  # (K, B)
                best = exact.min(0)
                for way, (dtype, words) in ways.items():
                    chosen = decoded.nll(z, dtype, words).argmin(0)
                    same[way] += chosen.eq(best.indices).sum().item()
                    regret[way] += (exact.gather(0, chosen.unsqueeze(0))[0] - best.values).sum().item()
                regret["any sample"] += (exact.mean(0) - best.values).sum().item()
        rows += [[k, way, f"{100 * same[way] / sentences:.1f} %", f"{regret[way] / sentences:.4f}"] for way in ways]
        rows.append([k, "any sample", f"{100 / k:.1f} %", f"{regret['any sample'] / sentences:.4f}"])
    print(tabulate(rows, ["K", "scoring", "same choice", "regret, nats"], tablefmt="pipe", disable_numparse=True))
    words = len(trained.task.target_dictionary)
    print(f"\n{sentences:,} sentences of {args.split}, {words:,} words in the dictionary, seed {args.seed}")


if __name__ == "__main__":
    main()
