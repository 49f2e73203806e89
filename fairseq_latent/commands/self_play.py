"""`fairseq-latent self-play`: two agents of one model talk, each with a persona of its own; what that is worth."""

import argparse
import json

from ..errors import InputError
from ..evaluation.arguments import add_output, add_running, deliver
from ..ranges import AMOUNT, COUNT, FINITE, SHARE, Range, typed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent self-play`."""
    add = parser.add_argument
    add("data", metavar="DATA", help="persona data set, made by scripts/prepare.sh with PERSONAS=yes")
    add("--path", required=True, metavar="CHECKPOINT", help="a transmitter, of the first or of the third stage")
    add("--receiver", required=True, metavar="CHECKPOINT", help="of the second stage: it judges persona and repetition")
    add(
        "--transmitter",
        metavar="CHECKPOINT",
        help="of the first stage: it judges the coherence (default: that of --path)",
    )
    add("--reward-lm", metavar="FOLDER", help="a language model in transformers' form: it judges the language")
    add("--split", default="test", help="whose personas and first messages: valid, test (default: test)")
    add("--dialogues", type=typed(int, COUNT), default=5, metavar="N", help="pairs of personas (default: 5)")
    add("--turns", type=typed(int, COUNT), default=3, metavar="N", help="utterances of each agent (default: 3)")
    add("--temperature", type=typed(float, Range(1e-3, 1e3)), default=0.7, help="of A's samples (default: 0.7)")
    add("--topk", type=typed(int, AMOUNT), default=20, metavar="N", help="A samples from N words; 0: all (default: 20)")
    for name, weight in (("coherence", 0.1), ("persona", 0.5), ("lm", None), ("repetition", -0.1)):
        shown = "0.5 with --reward-lm, else 0" if weight is None else weight
        add(
            f"--{name}-reward",
            type=typed(float, FINITE),
            default=weight,
            metavar="W",
            help=f"weight of {name} in the reward (default: {shown})",
        )
    add(
        "--reward-discount",
        type=typed(float, SHARE),
        default=0.5,
        metavar="G",
        help="what is said next counts so much less in the persona's reward (default: 0.5)",
    )
    add_running(parser, "pairs, orders of personas and samples")
    add_output(parser, ("text", "json"))


def main(args: argparse.Namespace) -> None:
    """Play, judge, print."""
    import fairseq  # noqa: F401  first: it registers the plugin, whose parts import each other
    from tqdm import tqdm

    from .. import rewards
    from ..evaluation.analysis.checkpoint import load
    from ..self_play.judges import judges_of
    from ..self_play.people import people_of
    from ..self_play.rollouts import AGENTS, Greedy, Sampled, drawn_pair, play, scene_of
    from ..self_play.shown import as_fields, as_text, means
    from ..text.tokenizers import pieces_of

    trained = load(args.path, args.data, args.split, args.seed, args.cpu)
    model, task = trained.model, trained.task
    if type(model).__name__ != "P2BotTransmitterModel":
        raise InputError(f"{args.path}: {type(model).__name__} does not play with itself; remedy: a p2bot_transmitter")
    words, decode = task.target_dictionary, pieces_of(args.data).decode

    def text(tokens) -> str:
        return decode(" ".join(words[token] for token in tokens))

    weights = {name: getattr(args, f"{name}_reward") for name in rewards.NAMES}
    if weights["lm"] is None:
        weights["lm"] = 0.5 if args.reward_lm else 0.0
    stages = {"transmitter": args.transmitter or args.path, "receiver": args.receiver, "reward_lm": args.reward_lm}
    judges = judges_of(stages, weights, args.reward_discount, args.data, text, words.eos(), trained.device)
    people = people_of(args.data, args.split, task.dataset(args.split), task.end_of_turn, words.eos())
    forbidden, longest = [words.pad(), *task.never_said()], model.max_positions()[1]
    made = []
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
    if args.format == "json":
        printed = json.dumps({"dialogues": made, "means": means(made), "signature": signature}, indent=2)
    else:
        printed = f"{as_text(made)}\n\n{signature}"
    deliver(printed, args.out)
