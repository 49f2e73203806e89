"""Top-k and top-p together, and seeds of contexts that have no id."""

import pytest
import torch
from fairseq.data import Dictionary
from fairseq.search import Sampling

from fairseq_latent.decoding.contexts import content_seeds, expand_contexts, regroup
from fairseq_latent.decoding.search import TopKTopPSampling

PAD = 1


@pytest.fixture
def words():
    dictionary = Dictionary()
    for index in range(16):
        dictionary.add_symbol(f"w{index}")
    return dictionary


def filtered(strategy, lprobs):
    """The probabilities (rows, V) that are left to sample from, zero elsewhere."""
    probs, indices = strategy._sample_topp(lprobs.clone().unsqueeze(1))
    return torch.zeros_like(lprobs).scatter_(1, indices[:, 0], probs[:, 0])


def oracle(row, k, p):
    """k best first, renormalised; then the smallest prefix with probability p, with the word that crosses it."""
    best = sorted(range(len(row)), key=lambda word: -row[word])[:k]
    total, mass, kept = sum(row[word] for word in best), 0.0, {}
    for word in best:
        kept[word] = row[word] / total
        mass += row[word] / total
        if mass >= p:
            break
    return [kept.get(word, 0.0) for word in range(len(row))]


def test_top_k_then_top_p(words, random):
    """Cho et al. (2022) use 4 and 0.8."""
    lprobs = (2 * torch.randn(200, len(words))).log_softmax(-1)
    left = filtered(TopKTopPSampling(words, 4, 0.8), lprobs)
    expected = torch.tensor([oracle(row, 4, 0.8) for row in lprobs.double().exp().tolist()])
    torch.testing.assert_close(left, expected.float())
    support = left.gt(0)
    assert support.sum(1).max() <= 4 and support.sum(1).min() >= 1
    assert (left.sum(1) >= 0.8 - 1e-6).all()
    assert {1, 2, 3, 4} >= set(support.sum(1).tolist()) > {4}


def test_ties_never_widen_the_k_best(words):
    uniform = torch.zeros(1, len(words)).log_softmax(-1)
    assert filtered(TopKTopPSampling(words, 4, 1.0 - 1e-6), uniform).gt(0).sum() == 4


def test_top_p_alone_is_fairseqs(words, random):
    lprobs = torch.randn(20, len(words)).log_softmax(-1)
    ours, theirs = TopKTopPSampling(words, -1, 0.8), Sampling(words, -1, 0.8)
    torch.testing.assert_close(filtered(ours, lprobs), filtered(theirs, lprobs))


def test_k_larger_than_the_vocabulary(words, random):
    lprobs = torch.randn(3, len(words)).log_softmax(-1)
    torch.testing.assert_close(
        filtered(TopKTopPSampling(words, 1000, 0.8), lprobs), filtered(Sampling(words, -1, 0.8), lprobs)
    )


def test_removed_words_are_never_drawn(words, random):
    lprobs = torch.arange(len(words)).float().mul(0.1).log_softmax(-1).repeat(1, 1, 1)
    strategy = TopKTopPSampling(words, 4, 0.8)
    drawn = {strategy.step(0, lprobs.clone(), None)[1].item() for _ in range(300)}
    assert drawn <= set(range(len(words) - 4, len(words))) and len(drawn) > 1


def test_content_seeds_depend_on_words_and_seed_alone():
    tokens = torch.tensor([[PAD, 5, 6], [5, 6, PAD], [6, 5, 2]])
    seeds = content_seeds(tokens, PAD, 1).tolist()
    assert seeds[0] == seeds[1] != seeds[2]
    assert min(seeds) >= 0
    assert seeds == content_seeds(torch.nn.functional.pad(tokens, (2, 0), value=PAD), PAD, 1).tolist()
    assert seeds != content_seeds(tokens, PAD, 2).tolist()


def test_contexts_expand_and_hypotheses_regroup():
    net_input = {"src_tokens": torch.tensor([[1], [2]]), "src_lengths": torch.tensor([1, 1]), "latent_mean": False}
    expanded = expand_contexts(net_input, 3)
    assert expanded["src_tokens"].flatten().tolist() == [1, 1, 1, 2, 2, 2]
    assert expanded["num_latents"] == 3 and expanded["latent_mean"] is False
    beams = [[f"{context}{latent}{rank}" for rank in range(2)] for context in "ab" for latent in range(3)]
    assert regroup(beams, 3, 1) == [["a00", "a10", "a20"], ["b00", "b10", "b20"]]
    assert regroup(beams, 3, 2)[1] == ["b00", "b01", "b10", "b11", "b20", "b21"]
