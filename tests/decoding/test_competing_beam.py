"""P²BOT's beam search on toy language models, against the authors' search with its faults corrected."""

import pytest
import torch
import torch.nn.functional as F
from fairseq.data import Dictionary
from fairseq.models import FairseqEncoder, FairseqEncoderDecoderModel, FairseqIncrementalDecoder

from fairseq_latent.decoding.competing_beam import CompetingBeam
from fairseq_latent.decoding.search import ban_bigrams, restrict

from ..helpers.cases import cases


class Nothing(FairseqEncoder):
    def forward(self, src_tokens, src_lengths):
        return {"rows": [src_tokens]}

    def reorder_encoder_out(self, encoder_out, new_order):
        return {"rows": [encoder_out["rows"][0].index_select(0, new_order)]}


class Toy(FairseqIncrementalDecoder):
    """The next token's logits are a row of a table, that of the last token; ids of the toy are those of the dictionary."""

    def __init__(self, dictionary, table, start):
        super().__init__(dictionary)
        self.table, self.start = table, start

    def forward(self, prev_output_tokens, encoder_out=None, incremental_state=None, **kwargs):
        last = prev_output_tokens[:, -1]
        first = torch.full_like(last, self.start)
        last = first if prev_output_tokens.size(1) == 1 else last
        return F.embedding(last, self.table).unsqueeze(1), None

    def max_positions(self):
        return 100


def best(given):
    """Its pad, start and end are fairseq's <pad>, <s> and </s>."""
    theirs, words = given["symbols"], Dictionary()
    logits = torch.tensor(given["transition_logits"])
    for place in range(3, len(logits)):
        words.add_symbol(f"w{place}")
    ours = [words.index(f"w{place}") for place in range(3, len(logits))]
    ids = torch.tensor([words.pad(), words.bos(), words.eos(), *ours])
    order = torch.tensor([theirs["pad"], theirs["start"], theirs["end"], *range(3, len(logits))])
    table = torch.full((len(words), len(words)), -1e4)
    table[ids[:, None], ids[None, :]] = logits[order][:, order]
    decoder = Toy(words, table, words.bos())
    model = FairseqEncoderDecoderModel(Nothing(words), decoder)
    generator = CompetingBeam([model], words, beam_size=given["beam"], max_len_b=given["max_length"])
    restrict(generator.search, [words.bos(), words.pad(), words.unk()])
    sample = {"net_input": {"src_tokens": torch.tensor([[5, 2]]), "src_lengths": torch.tensor([2])}}
    ((found, *_),) = generator.generate([], sample)
    names = dict(zip(ids.tolist(), order.tolist(), strict=True))
    return [names[token] for token in found["tokens"].tolist()], found["score"].item()


@pytest.mark.parametrize("given, expected", cases("p2bot_beam"))
def test_beam_search(given, expected):
    tokens, score = best(given)
    assert tokens == [*expected["tokens"], given["symbols"]["end"]]
    assert score == pytest.approx(expected["normalised_score"], abs=1e-5)


@pytest.mark.parametrize("given, expected", cases("p2bot_ngram_blocking"))
def test_bigrams_are_banned_from_the_fourth_token_on(given, expected):
    table, tokens, banned = torch.tensor(given["transition_logits"]), [], []
    while len(tokens) < given["max_length"] and (not tokens or tokens[-1] != given["symbols"]["end"]):
        lprobs = table[tokens[-1] if tokens else given["symbols"]["start"]].log_softmax(-1)
        allowed = ban_bigrams(lprobs.unsqueeze(0), torch.tensor([tokens]).long().view(1, -1), len(tokens))[0]
        banned.append(allowed.eq(-torch.inf).nonzero().flatten().tolist())
        tokens.append(int(allowed.argmax()))
    assert (tokens, banned) == (expected["tokens"], expected["banned_before_each_token"])
