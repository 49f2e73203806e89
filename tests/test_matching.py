"""The receiver's arithmetic, against values of the authors' code with its faults corrected (oracles/p2bot_*.json)."""

import pytest
import torch

from fairseq_latent import matching

from .helpers.cases import cases, near


@pytest.mark.parametrize("given, expected", cases("p2bot_receiver"))
def test_scores_and_loss(given, expected):
    utterances, real = torch.tensor([given["utterance_encodings"]]), torch.tensor([given["utterance_is_real"]]).bool()
    personas, persona_real = (torch.tensor([given[f"persona_{name}"]]) for name in ("encodings", "is_real"))
    persona_real = persona_real.bool()
    gold = torch.tensor([given["gold"]])
    assert matching.scale_of(utterances.size(-1)) == expected["scale"]
    grid = matching.score_grid(utterances, real, personas, persona_real)
    near(grid[0], expected["score_grid"])
    weight = matching.attention_weight(given["examples_seen_before_this_batch"] + given["batch_size"], 5000)
    near(weight, expected["attention_weight"])
    near(matching.attention_over_sentences(grid, real, persona_real, weight)[0], expected["attention"])
    scores = matching.candidate_scores(grid, real, persona_real, weight)
    near(scores[0], expected["candidate_scores"])
    margin = matching.margin_loss(scores, gold, given["margin"])
    near(margin[0], expected["margin_loss"])
    sparse = matching.sparsity(grid, real)
    near(sparse[0], expected["sparsity_per_candidate"])
    near(sparse.mean(), expected["sparsity"])
    near(margin[0] + given["sparsity_weight"] * sparse.mean(), expected["loss"])


@pytest.mark.parametrize("given, expected", cases("p2bot_pooling"))
def test_pooling(given, expected):
    states, mask = (torch.tensor(given[name]).float() for name in ("hidden_states", "mask"))
    near(matching.masked_mean(states, mask), expected["pooled"])


def test_pads_alone_are_zeros():
    assert matching.masked_mean(torch.ones(1, 3, 2), torch.zeros(1, 3)).tolist() == [[0.0, 0.0]]


def test_padding_changes_nothing(random):
    """A further utterance, and a further sentence of each candidate, that are padding."""
    utterances, personas = torch.randn(2, 3, 4), torch.randn(2, 2, 3, 4)
    real, persona_real = torch.ones(2, 3).bool(), torch.ones(2, 2, 3).bool()
    grid = matching.score_grid(utterances, real, personas, persona_real)
    more = (
        torch.cat([utterances, torch.full((2, 1, 4), 9.0)], 1),
        torch.cat([personas, torch.full((2, 2, 1, 4), 9.0)], 2),
    )
    masks = torch.cat([real, torch.zeros(2, 1).bool()], 1), torch.cat([persona_real, torch.zeros(2, 2, 1).bool()], 2)
    padded = matching.score_grid(more[0], masks[0], more[1], masks[1])
    torch.testing.assert_close(
        matching.candidate_scores(padded, *masks, 0.7), matching.candidate_scores(grid, real, persona_real, 0.7)
    )
    torch.testing.assert_close(matching.sparsity(padded, masks[0]), matching.sparsity(grid, real))


def test_a_tie_counts_against_gold():
    scores = torch.tensor([[2.0, 1.0], [1.0, 1.0], [0.0, 1.0]])
    assert matching.gold_wins(scores, torch.tensor([0, 0, 0])).tolist() == [True, False, False]
