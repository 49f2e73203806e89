#!/usr/bin/env python3
"""What an episode of P²BOT's self-play costs here, beside its own forward and backward passes alone.

    python benchmarks/self_play.py

Six dialogues of three turns each, personas of five sentences, fresh weights of the size of GPT-2 (124M) over 50,000 words, a
receiver of the size of MiniLM. An episode is rollouts of both agents, the frozen models' judgement, and one forward and
backward pass over what agent 0 said; its own passes are all of that but the rollouts. Random weights end no reply: each is
as long as it may be. CPU seconds are those of all threads.
"""

import argparse
import os
import statistics
import sys
import time
from argparse import Namespace
from pathlib import Path

WORDS = 50_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--arch", default="p2bot_transmitter_small")
    parser.add_argument("--reply-tokens", type=int, default=13, help="of each reply, its end among them")
    parser.add_argument("--episodes", type=int, default=2)
    parser.add_argument("--warm-up", type=int, default=1, help="episodes before these")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    sys.path[:] = [
        path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent
    ]  # preprocess.py
    import torch
    from tabulate import tabulate

    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    task, model, criterion = parts(args)
    rows = [episode(task, model, criterion, (1, number)) for number in range(args.episodes + args.warm_up)]
    rows = rows[args.warm_up :]
    names = ("rollouts", "judgement", "forward and backward")
    medians = [[statistics.median(row[name][kind] for row in rows) for kind in (0, 1)] for name in names]
    whole = [sum(column) for column in zip(*medians, strict=True)]
    own = [sum(column) for column in zip(*medians[1:], strict=True)]
    table = [[name, *values] for name, values in zip(names, medians, strict=True)]
    table += [["its own passes", *own], ["episode", *whole]]
    table.append(["episode / own passes", *(one / other for one, other in zip(whole, own, strict=True))])
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.0f} million parameters, {args.threads} threads")
    print(tabulate(table, ("", "CPU s", "wall s"), floatfmt=".2f", tablefmt="pipe"))


def parts(args: Namespace) -> tuple:
    """Task, learner and criterion, without data."""
    import fairseq  # noqa: F401  registers the plugin
    import numpy as np
    from fairseq.criterions import CRITERION_DATACLASS_REGISTRY, CRITERION_REGISTRY
    from fairseq.data import Dictionary
    from fairseq.models import (
        ARCH_CONFIG_REGISTRY,
        ARCH_MODEL_NAME_REGISTRY,
        ARCH_MODEL_REGISTRY,
        MODEL_DATACLASS_REGISTRY,
    )

    import fairseq_latent

    fairseq_latent.register()
    from fairseq_latent.data.speakers import Speaker
    from fairseq_latent.self_play.frozen import Frozen
    from fairseq_latent.self_play.judges import Judges
    from fairseq_latent.tasks.persona_receiver import PersonaReceiverConfig, PersonaReceiverTask
    from fairseq_latent.tasks.self_play import SelfPlayTask, SelfPlayTaskConfig

    words = Dictionary()
    for number in range(WORDS - len(words)):
        words.add_symbol(f"w{number}")

    def built(arch: str, task, **changes):
        config = MODEL_DATACLASS_REGISTRY[ARCH_MODEL_NAME_REGISTRY[arch]]()
        chosen = Namespace(**changes)
        ARCH_CONFIG_REGISTRY[arch](chosen)
        for name, value in vars(chosen).items():
            setattr(config, name, value)
        return ARCH_MODEL_REGISTRY[arch].build_model(config, task)

    of_all = {"data": "nowhere", "seed": 1, "train_subset": "train"}
    task = SelfPlayTask(SelfPlayTaskConfig(update_freq=[1], best_checkpoint_metric="f1", **of_all), words, words)
    receiver_task = PersonaReceiverTask(PersonaReceiverConfig(**of_all), words)
    sizes = {"max_reply_tokens": args.reply_tokens, "dropout": 0.0, "attention_dropout": 0.0}
    model, frozen = built(args.arch, task, **sizes), built(args.arch, task, **sizes).eval()
    for each in (model, frozen):
        each.add_choice_head()
    receiver = built("p2bot_receiver_small", receiver_task).eval()
    weights = {"coherence": 0.1, "persona": 0.5, "lm": 0.0, "repetition": -0.1}
    judged_by = Frozen(frozen.requires_grad_(False), task), Frozen(receiver.requires_grad_(False), receiver_task)
    task._judges = Judges(*judged_by, None, weights, 0.5, str, words.eos())
    draw = np.random.default_rng(1)

    def said(count: int, length: int) -> tuple:
        return tuple(tuple(draw.integers(4, WORDS, length).tolist()) for _ in range(count))

    task._people = [Speaker(said(7, 12), said(5, 8)) for _ in range(20)]
    name = "self_play"
    criterion = CRITERION_REGISTRY[name].build_criterion(CRITERION_DATACLASS_REGISTRY[name](), task)
    return task, model, criterion


def episode(task, model, criterion, seed: tuple[int, ...]) -> dict[str, tuple[float, float]]:
    """CPU and wall seconds of each part."""
    import torch

    from fairseq_latent.self_play.rollouts import drawn_pair, scene_of

    found, state = {}, {}

    def timed(name: str, part) -> None:
        cpu, wall = time.process_time(), time.perf_counter()
        state[name] = part()
        found[name] = time.process_time() - cpu, time.perf_counter() - wall

    scene = scene_of(drawn_pair(task.people(), *seed, 1), task.cfg.rollouts, *seed, 2)
    timed("rollouts", lambda: task.played([model, model], scene, *seed))
    timed("judgement", lambda: task._judges.judge(state["rollouts"])[0])
    batch = task.scored(state["rollouts"], state["judgement"], torch.device("cpu"))
    model.eval()
    timed("forward and backward", lambda: criterion(model, batch)[0].backward())
    model.zero_grad(set_to_none=True)
    return found


if __name__ == "__main__":
    main()
