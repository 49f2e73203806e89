#!/usr/bin/env python3
"""Training and decoding of HRED and of the CVAE beside bare PyTorch loops with the same modules.

    python benchmarks/recurrent.py

Batches are made up, as long as ConvAI2's with profiles: 4 to 16 turns per context, 9 on average, 12.5 tokens of GPT-2 per
turn and per response. Training: fairseq's trainer with our task, model and criterion (collating, logging and clipping
included), and a loop that a careful person would write by hand, on lists of turns: packed turns and responses, cross-entropy
of real tokens alone, torch.optim.Adam. Decoding: the sampler of Cho et al. (2022), top-k 4 and top-p 0.8, of fairseq's
generator and by hand; responses end where ConvAI2's do, whatever is sampled. Systems take turns; ratios are medians over
steps. On a machine that does other things too, CPU seconds say more than those of the clock.
"""

import argparse
import os
import statistics
import tempfile
import time
from argparse import Namespace
from pathlib import Path

SYSTEMS = {"hred": (80, 1e-4, 1.0), "rnn_cvae": (30, 1e-3, 5.0)}  # batch, learning rate, clip norm of the recipes
TURNS, FEWEST, MOST, LENGTH, SPREAD = 9.1, 4, 16, 12.5, 4.1  # of ConvAI2's training examples
LONGEST = 29  # tokens
BOW = ("--bow-weight", "1", "--bow-target", "tokens", "--bow-hidden-dim", "400")
TOPK, TOPP = 4, 0.8


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--system", nargs="+", default=list(SYSTEMS), choices=SYSTEMS)
    parser.add_argument("--what", nargs="+", default=["training", "decoding"], choices=("training", "decoding"))
    parser.add_argument("--size", default="", choices=("", "_small", "_tiny"), help="of both architectures")
    parser.add_argument("--vocabulary", type=int, default=50259, help="GPT-2's tokens and ours")
    parser.add_argument("--batches", type=int, default=5, help="how many are measured")
    parser.add_argument("--contexts", type=int, default=64, help="decoded at once")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch
    from tabulate import tabulate

    torch.set_num_threads(args.threads)
    rows = []
    for name in args.system:
        for what in args.what:
            found = {"training": training, "decoding": decoding}[what](args, name)
            ours = found.pop("ours")
            for base, times in found.items():
                cpu, wall = ([a / b for a, b in zip(ours[k], times[k], strict=True)] for k in (0, 1))
                seconds = (f"{statistics.median(each):.3f}" for each in (times[0], ours[0]))
                ratios = (f"{statistics.median(each):.2f}" for each in (cpu, wall))
                rows.append([name, BASES[what, base], *seconds, *ratios])
    headers = ["system", "beside a bare loop", "CPU s, bare", "CPU s, fairseq", "CPU ratio", "wall ratio"]
    print(tabulate(rows, headers, tablefmt="pipe", disable_numparse=True))
    batch = ", ".join(f"{SYSTEMS[name][0]} {name}" for name in args.system)
    print(
        f"\nresponses per update: {batch}; {args.contexts} contexts decoded at once; {args.vocabulary:,} tokens, medians of "
        f"{args.batches}, {args.threads} threads"
    )


BASES = {
    ("training", "bare"): "training",
    ("decoding", "bare"): "decoding",
    ("decoding", "dropping"): "decoding, a loop that drops what has ended",
}


def training(args: argparse.Namespace, name: str) -> dict[str, tuple[list[float], list[float]]]:
    """Seconds of each update: {"ours", "bare"} -> CPU, wall."""
    size, _, _ = SYSTEMS[name]
    trainer = trainer_of(args, name)
    pairs = made_up(trainer.task, size * (args.batches + 1))
    dataset = as_dataset(trainer.task, pairs)
    bare = BareLoop(trainer.model, trainer.task.target_dictionary, *SYSTEMS[name][1:])

    def ours(rows: range) -> None:
        trainer.train_step([dataset.collater([dataset[row] for row in rows])])

    batches = [range(start, start + size) for start in range(0, len(pairs), size)]
    return in_turns({"bare": lambda rows: bare.step([pairs[row] for row in rows]), "ours": ours}, batches)


def decoding(args: argparse.Namespace, name: str) -> dict[str, tuple[list[float], list[float]]]:
    """Seconds of each batch: {"ours", "bare", "dropping"} -> CPU, wall."""
    import torch

    trainer = trainer_of(args, name)
    task, model = trainer.task, trainer.model.eval()
    pairs = made_up(task, args.contexts * (args.batches + 1))
    dataset = as_dataset(task, pairs)
    bare = BareLoop(model, task.target_dictionary, *SYSTEMS[name][1:])
    model.prepare_for_inference_(trainer.cfg)
    flags = {"beam": 1, "nbest": 1, "max_len_a": 0, "max_len_b": LONGEST, "sampling": True}
    generator = task.build_generator([model], Namespace(**flags, sampling_topk=TOPK, sampling_topp=TOPP))
    end, choose, lengths = task.target_dictionary.eos(), generator.search.step, None

    def step(number, lprobs, scores, previous, rows):
        return choose(number, ended(lprobs, lengths[rows] <= number, end), scores, previous, rows)

    generator.search.step = step

    def of(rows: range):
        contexts = [pairs[row][0] for row in rows]
        return contexts, torch.tensor([len(pairs[row][1]) for row in rows])

    def ours(rows: range) -> None:
        nonlocal lengths
        sample = dataset.collater([dataset[row] for row in rows])
        lengths = of(rows)[1][sample["id"] - rows[0]]
        task.inference_step(generator, [model], sample)

    batches = [range(start, start + args.contexts) for start in range(0, len(pairs), args.contexts)]
    steps = {
        "bare": lambda rows: bare.sample(*of(rows)),
        "dropping": lambda rows: bare.sample(*of(rows), dropping=True),
        "ours": ours,
    }
    return in_turns(steps, batches)


def ended(log_probs, over, end: int):
    """(B, ..., V), (B,): the end of a response alone where it is `over`, anything else where it is not."""
    import torch

    log_probs[..., end] = -torch.inf
    log_probs[over] = -torch.inf
    log_probs[over, ..., end] = 0.0
    return log_probs


def in_turns(steps: dict, batches: list[range]) -> dict[str, tuple[list[float], list[float]]]:
    """Each batch by each system; the first warms up."""
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in steps}
    for number, rows in enumerate(batches):
        for name, step in steps.items():
            begin = time.process_time(), time.perf_counter()
            step(rows)
            if number:
                found[name][0].append(time.process_time() - begin[0])
                found[name][1].append(time.perf_counter() - begin[1])
    return found


class BareLoop:
    """HRED, or the CVAE, by hand, of the modules of a model of ours, copied."""

    def __init__(self, model, words, lr: float, clip: float):
        import copy

        import torch

        copied = copy.deepcopy(model)
        self.encoder, self.decoder, self.bow = copied.encoder, copied.decoder, copied.bow_head
        self.tanh, self.floor, self.latent = copied.tanh, copied.floor, copied.encoder.latent
        self.begin, self.pad, self.end = words.bos(), words.pad(), words.eos()
        self.most = copied.encoder.reader.most_turns
        self.turn_begin = [self.begin] if copied.begins else []
        self.parameters = list(copied.parameters())
        self.optimiser = torch.optim.Adam(self.parameters, lr)
        self.clip = clip

    def encode(self, turns):
        """Lists of tokens -> (U, 2H)"""
        import torch
        from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

        rows = [torch.tensor([*self.turn_begin, *turn, self.end]) for turn in turns]
        lengths = torch.tensor([len(row) for row in rows])
        embedded = self.dropout(self.encoder.embed_tokens(pad_sequence(rows, True, self.pad)))
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        return self.encoder.utterance_gru(packed)[1].transpose(0, 1).flatten(1)

    def contexts(self, contexts, more=()):
        """Contexts (B, C), and encoded further turns."""
        import torch
        import torch.nn.functional as F
        from torch.nn.utils.rnn import pack_sequence

        contexts = [turns[-self.most :] for turns in contexts]
        counts = [len(turns) for turns in contexts]
        vectors = self.encode([turn for turns in contexts for turn in turns] + list(more))
        *of_contexts, further = vectors.split([*counts, len(more)])
        if self.floor:
            own = [torch.tensor([(len(c) - 1 - place) % 2 for place in range(len(c))]) for c in contexts]
            of_contexts = [torch.cat([v, F.one_hot(o, 2).float()], -1) for v, o in zip(of_contexts, own, strict=True)]
        return self.encoder.context_gru(pack_sequence(of_contexts, enforce_sorted=False))[1][0], further

    def dropout(self, values):
        """As the model in training."""
        import torch.nn.functional as F

        return F.dropout(values, self.decoder.dropout, self.decoder.training)

    def step(self, pairs) -> float:
        """One update on (turns, response) of each example; its loss."""
        import torch
        import torch.nn.functional as F
        from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

        responses = [response for _, response in pairs]
        context, said = self.contexts([turns for turns, _ in pairs], responses if self.latent else ())
        loss = torch.zeros(())
        condition = context
        if self.latent:
            mean, logvar = self.latent.recognition_net(torch.cat([context, said], -1)).chunk(2, -1)
            prior_mean, prior_logvar = self.latent.prior_net(context).chunk(2, -1)
            ratio = (logvar - prior_logvar).exp() + (mean - prior_mean).square() / prior_logvar.exp()
            loss = 0.5 * (prior_logvar - logvar + ratio - 1).sum()
            z = mean + (logvar / 2).exp() * torch.randn_like(mean)
            condition = torch.cat([context, z], -1)
        targets = [torch.tensor([*response, self.end]) for response in responses]
        inputs = [torch.tensor([self.begin, *response]) for response in responses]
        lengths = torch.tensor([len(target) for target in targets])

        def packed(values):
            return pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False)

        words = packed(pad_sequence(targets, True, self.pad)).data
        embedded = self.dropout(self.decoder.embed_tokens(pad_sequence(inputs, True, self.pad)))
        states, _ = self.decoder.gru(packed(embedded), self.first_state(condition))
        logits = self.decoder.output_projection(self.dropout(states.data))
        loss = loss + F.cross_entropy(logits, words, reduction="sum")
        if self.bow is not None:
            tokens = pad_sequence(targets, True, -100)
            loss = loss - self.bow(condition).log_softmax(-1).gather(1, tokens.clamp(min=0))[tokens >= 0].sum()
        loss = loss / len(pairs)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.optimiser.step()
        return loss.item()

    def first_state(self, condition):
        """(1, B, H)"""
        state = self.decoder.first_state(condition)
        return (state.tanh() if self.tanh else state).unsqueeze(0)

    def sample(self, contexts, lengths, dropping: bool = False):
        """Responses of these lengths (B,) by top-k and top-p, with their scores.

        The loop ends when all responses have; `dropping` leaves those out that have ended before.
        """
        import torch

        with torch.no_grad():
            condition, _ = self.contexts(contexts)
            if self.latent:
                mean, logvar = self.latent.prior_net(condition).chunk(2, -1)
                condition = torch.cat([condition, mean + (logvar / 2).exp() * torch.randn_like(mean)], -1)
            hidden, rows = self.first_state(condition), torch.arange(len(contexts))
            said = torch.full((len(contexts), int(lengths.max()) + 1), self.pad)
            scores = torch.zeros(said.shape)
            token = torch.full((len(contexts), 1), self.begin)
            for step in range(said.size(1)):
                state, hidden = self.decoder.gru(self.decoder.embed_tokens(token), hidden)
                log_probs = self.decoder.output_projection(state[:, 0]).log_softmax(-1)
                log_probs[:, self.pad] = -torch.inf
                best, words = ended(log_probs, lengths[rows] <= step, self.end).topk(TOPK)
                shares = best.softmax(-1)
                place = torch.multinomial(shares.masked_fill(shares.cumsum(-1) - shares >= TOPP, 0.0), 1)
                token = words.gather(1, place)
                said[rows, step], scores[rows, step] = token[:, 0], best.gather(1, place)[:, 0]
                if dropping and not (going := lengths[rows] > step).all():
                    rows, token, hidden = rows[going], token[going], hidden[:, going]
        return said, scores


def made_up(task, count: int) -> list[tuple[list[list[int]], list[int]]]:
    """Turns and response of so many examples, as random tokens."""
    import numpy as np

    words, rng = task.target_dictionary, np.random.default_rng(1)

    def said() -> list[int]:
        length = int(np.clip(rng.normal(LENGTH, SPREAD), 1, LONGEST))
        return rng.integers(words.nspecial + 1, len(words), length).tolist()

    turns = np.clip(rng.normal(TURNS, 3.1, count).round(), FEWEST, MOST).astype(int)
    return [([said() for _ in range(number)], said()) for number in turns]


def as_dataset(task, pairs):
    """As fairseq-preprocess and our task have them."""
    import torch
    from fairseq.data import LanguagePairDataset, ListDataset

    from fairseq_latent.data.seeded_dataset import SeededDataset
    from fairseq_latent.symbols import EOT

    words = task.target_dictionary
    between, end = words.index(EOT), words.eos()
    source = [[token for turn in turns for token in (*turn, between)] for turns, _ in pairs]
    source = [torch.tensor([*row[:-1], end]) for row in source]
    target = [torch.tensor([*response, end]) for _, response in pairs]
    sides = [ListDataset(rows, [len(row) for row in rows]) for rows in (source, target)]
    return SeededDataset(LanguagePairDataset(sides[0], sides[0].sizes, words, sides[1], sides[1].sizes, words), 1)


def trainer_of(args: argparse.Namespace, name: str):
    """As fairseq-train builds it, on the CPU, with the flags of the recipe, the KL weight at its peak."""
    import torch
    from fairseq import options, tasks
    from fairseq.data import Dictionary
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from fairseq.trainer import Trainer
    from training import _silence

    import fairseq_latent
    from fairseq_latent.symbols import EOT

    batch, lr, clip = SYSTEMS[name]
    with _silence(), tempfile.TemporaryDirectory() as folder:
        words = Dictionary()
        words.add_symbol(EOT)
        for index in range(args.vocabulary - len(words)):
            words.add_symbol(f"w{index}", n=args.vocabulary - index)
        for side in ("src", "tgt"):
            words.save(f"{folder}/dict.{side}.txt")
        plug_in = ["--user-dir", str(Path(fairseq_latent.__file__).parent), "--task", "dialogue"]
        optimiser = ["--optimizer", "adam", "--adam-betas", "(0.9, 0.999)", "--lr", str(lr), "--clip-norm", str(clip)]
        command = [
            folder, *plug_in, "--arch", f"{name}{args.size}", "--criterion", "elbo", *optimiser, "--batch-size", str(batch),
            "--cpu", "--seed", "1", *(BOW if name == "rnn_cvae" else ()),
        ]  # fmt: skip
        cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), command))
        torch.manual_seed(1)
        task = tasks.setup_task(cfg.task)
        model = task.build_model(cfg.model)
        trainer = Trainer(cfg, task, model, task.build_criterion(cfg.criterion))
        trainer.begin_epoch(1)
    return trainer


if __name__ == "__main__":
    main()
