"""Sentences on the straight line between the latents of two (Bowman et al., 2016, Table 8).

Both ends are posterior means, so that the first and the last sentence are reconstructions.
"""

from collections.abc import Sequence

from fairseq_latent.errors import InputError

from ..runs.response_files import PIECE
from .checkpoint import Trained

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
    return [(share, sentence_of(task, beams[0]["tokens"])) for share, beams in zip(shares.tolist(), found, strict=True)]


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


def sentence_of(task, tokens) -> str:
    """A sentence without its end and pads, SentencePiece's pieces joined."""
    words = task.target_dictionary
    tokens = tokens[tokens.ne(words.pad())]
    text = words.string(tokens)
    return words.string(tokens, bpe_symbol="sentencepiece") if PIECE in text else text
