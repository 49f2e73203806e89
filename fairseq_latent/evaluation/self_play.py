"""Dialogues of two agents of one transmitter with their rewards, as `fairseq-latent self-play` prints them."""

import argparse
from collections.abc import Sequence

from tqdm import tqdm

from .. import rewards
from ..errors import InputError
from ..self_play.judges import judges_of
from ..self_play.people import people_of
from ..self_play.rollouts import AGENTS, Greedy, Sampled, drawn_pair, play, scene_of
from ..self_play.shown import as_fields
from ..text.tokenizers import tokenizer_of
from .analysis.checkpoint import load


def demonstrate(args: argparse.Namespace) -> tuple[list[dict], str]:
    """The dialogues of pairs of personas of a split, and a signature; `args` are the flags of the command.

    InputError for a checkpoint that is no transmitter's.
    """
    trained = load(args.path, args.data, args.split, args.seed, args.cpu)
    model, task = trained.model, trained.task
    if type(model).__name__ != "P2BotTransmitterModel":
        raise InputError(f"{args.path}: {type(model).__name__} does not play with itself; remedy: a p2bot_transmitter")
    words, decode = task.target_dictionary, tokenizer_of(args.data).decode

    def text(tokens: Sequence[int]) -> str:
        return decode(" ".join(words[token] for token in tokens))

    weights = {name: getattr(args, f"{name}_reward") for name in rewards.NAMES}
    if weights["lm"] is None:
        weights["lm"] = 0.5 if args.reward_lm else 0.0
    stages = {"transmitter": args.transmitter or args.path, "receiver": args.receiver, "reward_lm": args.reward_lm}
    judges = judges_of(stages, weights, args.reward_discount, args.data, text, words.eos(), trained.device)
    people = people_of(args.data, args.split, task.dataset(args.split), task.end_of_turn, words.eos())
    forbidden, longest = [words.pad(), *task.never_said()], model.max_positions()[1]
    made: list[dict] = []
    for number in tqdm(range(args.dialogues), "self-play", unit=" dialogues", disable=None):
        scene = scene_of(drawn_pair(people, args.seed, number), 1, args.seed, number)
        sampled = Sampled(forbidden, args.temperature, args.topk, args.seed, number)
        dialogues = play([model, model], scene, args.turns, (sampled, Greedy(forbidden)), longest, words.eos())
        made += as_fields(dialogues, judges.judge(dialogues, AGENTS), text)
    shown = {name: weight for name, weight in weights.items() if weight}
    signature = (
        f"self-play|split:{args.split}|pairs:{args.dialogues}|turns:{args.turns}|temperature:{args.temperature:g}|"
        f"topk:{args.topk}|weights:{','.join(f'{name}={weight:g}' for name, weight in shown.items())}|"
        f"discount:{args.reward_discount:g}|seed:{args.seed}"
    )
    return made, signature
