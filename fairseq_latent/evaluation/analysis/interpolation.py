"""`fairseq-latent interpolate`: sentences on the straight line between the latents of two (Bowman et al., 2016, Table 8).

Both ends are posterior means, so that the first and the last sentence are reconstructions.
"""

import argparse
from collections.abc import Sequence

from fairseq_latent.errors import InputError
from fairseq_latent.memory import require_memory

from ..runs.response_files import PIECE
from .checkpoint import Trained, load

FEWEST = 2


def interpolate(trained: Trained, ends: dict, steps: int, beam: int, max_length: int) -> list[tuple[float, str]]:
    """(share of the second end, sentence) for `steps` latents; `ends` is a batch of two sentences, in order."""
    import torch
    from fairseq.dataclass.configs import GenerationConfig

    model, task = trained.model, trained.task
    with torch.no_grad():
        first, last = model.encoder.posterior(ends["src_tokens"]).mean  # (Z) each
        shares = torch.linspace(0, 1, steps, device=first.device)
        z = torch.lerp(first, last, shares.unsqueeze(1))  # (steps, Z)
        generator = task.build_generator([model], GenerationConfig(beam=beam, max_len_a=0, max_len_b=max_length))
        net_input = {
            "src_tokens": ends["src_tokens"][:1].expand(steps, -1),
            "src_lengths": ends["src_lengths"][:1].expand(steps),
            "latent": z,
        }
        found = generator.generate([model], {"net_input": net_input})
    return [(share, _text(task, beams[0]["tokens"])) for share, beams in zip(shares.tolist(), found, strict=True)]


def ends_of(trained: Trained, examples: Sequence[int] | None, texts: Sequence[str] | None) -> dict:
    """A batch of two sentences, of the split or typed."""
    import torch
    from fairseq.data.data_utils import collate_tokens

    words = trained.task.source_dictionary
    if examples is not None:
        batch = trained.examples(list(dict.fromkeys(examples)))
        place = {number: row for row, number in enumerate(batch["id"].tolist())}
        rows = [batch["net_input"]["src_tokens"][place[number]] for number in examples]
        rows = [row[row.ne(words.pad())] for row in rows]
    else:
        rows = [words.encode_line(text, add_if_not_exist=False).long() for text in texts]
        limit = trained.model.max_positions()[0]
        for text, row in zip(texts, rows, strict=True):
            if len(row) > limit or not text.split():
                raise InputError(
                    f"--text: one has {len(text.split()):,} words, the model takes 1 to {limit - 1:,}; remedy: another"
                )
    tokens = collate_tokens(rows, words.pad(), left_pad=False).to(trained.device)
    return {"src_tokens": tokens, "src_lengths": torch.tensor([len(row) for row in rows], device=trained.device)}


def _text(task, tokens) -> str:
    """A sentence without its end and pads, SentencePiece's pieces joined."""
    words = task.target_dictionary
    tokens = tokens[tokens.ne(words.pad())]
    text = words.string(tokens)
    return words.string(tokens, bpe_symbol="sentencepiece") if PIECE in text else text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent interpolate`."""
    parser.add_argument("data", metavar="DATA", help="folder made by fairseq-preprocess --only-source")
    parser.add_argument("--path", required=True, metavar="FILE", help="a checkpoint of a sentence VAE")
    ends = parser.add_mutually_exclusive_group(required=True)
    ends.add_argument("--example", type=int, nargs=2, metavar="ID", help="two lines of the split, from 0")
    ends.add_argument("--text", nargs=2, metavar="TEXT", help="two sentences, in the words or pieces of the data")
    parser.add_argument("--split", default="valid", help="valid, test, train (default: valid)")
    parser.add_argument("--steps", type=int, default=7, help="sentences, both ends included (default: 7)")
    parser.add_argument("--beam", type=int, default=5, help="1: greedy (default: 5)")
    parser.add_argument("--max-length", type=int, default=60, metavar="TOKENS", help="of a sentence (default: 60)")
    parser.add_argument("--cpu", action="store_true", help="leave a GPU alone")


def main(args: argparse.Namespace) -> None:
    """Print the two sentences, and those between them with how far along they are."""
    for name, least in (("steps", FEWEST), ("beam", 1), ("max_length", 1)):
        if getattr(args, name) < least:
            raise InputError(f"--{name.replace('_', '-')} {getattr(args, name)}; remedy: {least} or more")
    hypotheses = args.steps * args.beam
    require_memory(3000.0 * hypotheses, f"--steps {args.steps} --beam {args.beam}", "fewer")  # finished ones alone
    trained = load(args.path, args.data, args.split, cpu=args.cpu)
    if getattr(trained.task, "reads_context", True):
        raise InputError(f"{args.path}: no sentence VAE, its latent answers a context; remedy: a checkpoint of gru_vae")
    ends = ends_of(trained, args.example, args.text)
    print(f"from\t{_text(trained.task, ends['src_tokens'][0])}")
    for share, sentence in interpolate(trained, ends, args.steps, args.beam, args.max_length):
        print(f"{share:.2f}\t{sentence}")
    print(f"to\t{_text(trained.task, ends['src_tokens'][1])}")
