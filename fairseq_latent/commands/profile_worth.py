"""`fairseq-latent profile-worth`: whether a corpus can teach a persona latent anything, by a language model."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence

from ..errors import InputError
from ..evaluation.arguments import add_output, add_running, deliver
from ..ranges import AMOUNT, COUNT, POSITIONS, POSITIVE, typed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent profile-worth`."""
    add = parser.add_argument
    add("data", metavar="DATA", help="persona data as text, DATA.text of scripts/prepare.sh, or DATA beside it")
    add("--lm-path", required=True, metavar="FOLDER", help="a decoder-only language model in transformers' form")
    add("--split", default="test", help="measured: test, valid (default: test)")
    add(
        "--max-examples",
        type=typed(int, COUNT),
        metavar="N",
        help="measure N responses at random, chosen by --seed (default: all)",
    )
    add(
        "--max-dialogues",
        type=typed(int, COUNT),
        metavar="N",
        help="measure N dialogues at random, chosen by --seed; a speaker's responses in one are computed in one pass where "
        "contexts are whole (default: all)",
    )
    add(
        "--fine-tune",
        type=typed(int, AMOUNT),
        default=0,
        metavar="UPDATES",
        help="measure the model a second time, after so many updates on the training split, in which each speaker of a "
        "dialogue has no profile, the partner's or his own, at random (default: 0, as it is alone)",
    )
    add("--batch-size", type=typed(int, COUNT), default=32, metavar="N", help="responses per update (default: 32)")
    add("--lr", type=typed(float, POSITIVE), default=2e-4, help="peak learning rate of AdamW (default: 2e-4)")
    add(
        "--train-blocks",
        type=typed(int, COUNT),
        metavar="N",
        help="train the top N blocks of the model alone (default: the upper half)",
    )
    add(
        "--positions",
        type=typed(int, POSITIONS),
        default=512,
        metavar="N",
        help="tokens of profile, context and response; the oldest turns of longer contexts are dropped (default: 512)",
    )
    add(
        "--autocast",
        choices=("none", "bfloat16"),
        default="none",
        help="precision of matrix products; bfloat16 is faster on many processors (default: none, float32)",
    )
    add_running(parser, "strangers, dialogues, training and resamples")
    add_output(parser)


def main(args: argparse.Namespace) -> None:
    """Read, measure, fine-tune and measure again, print."""
    from ..evaluation.analysis.profile_text import Writer, read_examples, some_of
    from ..evaluation.analysis.profile_worth import as_fields, setting, signature, table

    pool = read_examples(args.data, args.split)
    training = read_examples(args.data, "train") if args.fine_tune else []
    examples = some_of(pool, args.max_dialogues, args.max_examples, args.seed)
    model, begin, end, ids = _language_model(args)
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
    if args.format == "json":
        text = json.dumps({"rows": [as_fields(row) for row in rows], "signature": signed}, indent=2)
    else:
        text = f"{table(rows, args.format)}\n\n{'% ' if args.format == 'latex' else ''}{signed}"
    deliver(text, args.out)


def _language_model(args: argparse.Namespace) -> tuple:
    """The model, its first token, what ends a turn, and its tokenizer."""
    import torch

    from ..modules.language_models.pretrained import of_folder
    from ..modules.language_models.text_likelihood import TextLikelihood
    from ..text.gpt2_tokenizer import load_gpt2

    read = of_folder(args.lm_path, args.positions, 0.0, 0.0)
    tokenizer = load_gpt2(args.lm_path)
    if tokenizer.size > len(read.words):
        raise InputError(
            f"{args.lm_path}: its tokenizer has {tokenizer.size:,} tokens, its weights {len(read.words):,}; "
            "remedy: the tokenizer that belongs to the weights"
        )
    (line_break,) = tokenizer.ids(["\n"])
    end = line_break[0] if len(line_break) == 1 and tokenizer.text(line_break) == "\n" else read.end
    begin = read.end if read.begin is None else read.begin
    if end is None or begin is None:
        raise InputError(
            f"{args.lm_path}/config.json: eos_token_id is no token of it; remedy: the token that ends a text"
        )
    device = torch.device("cuda" if torch.cuda.is_available() and not args.cpu else "cpu")
    return TextLikelihood(read, device, args.autocast == "bfloat16"), begin, end, tokenizer.ids


def _measured(name: str, model, writer, found, args: argparse.Namespace) -> list:
    import numpy as np
    import torch
    from tqdm import tqdm

    from ..evaluation.analysis.profile_worth import measure

    @torch.no_grad()
    def scorer(texts: Sequence, spans: Sequence) -> np.ndarray:
        nats = model.nats(texts, spans).double().cpu().numpy()
        if not np.isfinite(nats).all():
            raise InputError(f"{args.lm_path}, {name}: nats of responses are no numbers; remedy: a smaller --lr")
        return nats

    with tqdm(desc=name, unit=" tokens", unit_scale=True, disable=None) as bar:
        return measure(name, found, writer, scorer, args.seed, bar.update)


def _fine_tune(model, writer, training: Sequence, blocks: int, args: argparse.Namespace) -> None:
    import torch
    from tqdm import tqdm

    from ..evaluation.analysis.profile_worth import training_batches

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
    from pathlib import Path

    return Path(folder).resolve().name
