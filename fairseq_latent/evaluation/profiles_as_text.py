"""Profiles as text before the context of a language model, as it is and fine-tuned, as `profile-worth` measures them."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ..errors import InputError
from .analysis.profile_text import Writer, read_examples, some_of
from .analysis.profile_worth import Row, measure, setting, signature, table, training_batches


def profile_worth(args: argparse.Namespace, load: Callable[[], tuple]) -> tuple[list[Row], str]:
    """A row per profile and state of the model, and a signature; `args` are the flags of the command.

    load: gives the model, its first token, what ends a turn, and what makes tokens of texts.
    """
    pool = read_examples(args.data, args.split)
    training = read_examples(args.data, "train") if args.fine_tune else []
    examples = some_of(pool, args.max_dialogues, args.max_examples, args.seed)
    model, begin, end, ids = load()
    blocks = args.train_blocks or max(1, model.layers // 2)
    if args.fine_tune and blocks > model.layers:
        raise InputError(f"--train-blocks {blocks}: {args.lm_path} has {model.layers}; remedy: at most these")
    writer = Writer(ids, begin, end, min(args.positions, model.positions or args.positions))
    found = setting(examples, pool, writer, args.seed, f"{args.data}, {args.split}")
    if found.too_long:
        lost = f"{found.too_long} of {found.too_long + len(found.examples)}"
        print(f"{args.split}: {lost} responses are too long for --positions and left out", file=sys.stderr)
    rows = _measured("zero-shot", model, writer, found, args)
    how = ""
    if args.fine_tune:
        print(table(rows, "text"), file=sys.stderr)  # training takes a while
        _fine_tune(model, writer, training, blocks, args)
        rows += _measured(f"{args.fine_tune} updates", model, writer, found, args)
        how = f"|updates:{args.fine_tune}x{args.batch_size}|lr:{args.lr:g}|blocks:{blocks}-of-{model.layers}"
    precision = "" if args.autocast == "none" else f"|precision:{args.autocast}"
    signed = signature(
        found, args.split, args.seed, f"lm:{_name(args.lm_path)}|positions:{writer.positions}{precision}{how}"
    )
    return rows, signed


def _measured(name: str, model, writer, found, args: argparse.Namespace) -> list:
    @torch.no_grad()
    def scorer(texts: Sequence, spans: Sequence) -> np.ndarray:
        nats = model.nats(texts, spans).double().cpu().numpy()
        if not np.isfinite(nats).all():
            raise InputError(f"{args.lm_path}, {name}: nats of responses are no numbers; remedy: a smaller --lr")
        return nats

    with tqdm(desc=name, unit=" tokens", unit_scale=True, disable=None) as bar:
        return measure(name, found, writer, scorer, args.seed, bar.update)


def _fine_tune(model, writer, training: Sequence, blocks: int, args: argparse.Namespace) -> None:
    def shown() -> Iterator[tuple]:
        drawn = training_batches(training, writer, args.fine_tune, args.batch_size, args.seed)
        for batch in tqdm(drawn, "fine-tune", total=args.fine_tune, unit=" updates", disable=None):
            yield (
                [passage.tokens for passage in batch],
                [[(start, stop) for _, start, stop in passage.responses] for passage in batch],
            )

    torch.manual_seed(args.seed)
    model.fine_tune(shown(), args.fine_tune, blocks, args.lr)


def _name(folder: str) -> str:
    return Path(folder).resolve().name
