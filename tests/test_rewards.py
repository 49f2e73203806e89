"""Rewards of self-play, against values of the authors' code with its faults corrected (oracles/p2bot_*.json)."""

import pytest
import torch

from fairseq_latent import matching, rewards

from .helpers.cases import cases, near


def tensors(agent: dict) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(values) for name, values in agent.items()}


@pytest.mark.parametrize("given, expected", cases("p2bot_selfplay"))
def test_an_episode(given, expected):
    agents, first = [tensors(given["agent0"]), tensors(given["agent1"])], given["agent0_speaks_first"]

    def spoken(*of_agents):
        return rewards.interleave(*(of_agents if first else of_agents[::-1]))

    def of_both(values, name):
        for agent in (0, 1):
            near(rewards.of_agent(values, first == (agent == 0)), expected[f"{name}_agent{agent}"])

    raw = [matching.persona_score(each["utterance_encodings"], each["persona_encodings"]) for each in agents]
    for agent in (0, 1):
        near(raw[agent], expected[f"persona_raw_agent{agent}"])
    discounted = rewards.discounted(spoken(*raw), given["discount"])
    of_both(discounted, "persona_discounted")
    persona = rewards.scaled(discounted)
    of_both(persona, "persona_scaled")
    repeated = rewards.repetition(spoken(*(each["utterance_encodings"] for each in agents)))
    near(repeated, expected["repetition_in_order_of_speaking"])
    of_both(repeated, "repetition")
    parts = {
        "coherence": agents[0]["coherence"],
        "persona": rewards.of_agent(persona, first),
        "lm": agents[0]["lm_score"],
        "repetition": rewards.of_agent(repeated, first),
    }
    reward = rewards.total(parts, given["weights"])
    near(reward, expected["reward_agent0"])
    if "baseline_agent0" in expected:
        near(rewards.baseline(reward), expected["baseline_agent0"])
    near(rewards.advantage(reward), expected["advantage_agent0"])
    log_probabilities = rewards.normalised(agents[0]["log_probability_sums"], agents[0]["token_counts"])
    near(log_probabilities, expected["normalised_log_probabilities"])
    near(rewards.reinforce(log_probabilities, rewards.advantage(reward)).mean(), expected["reinforce_loss"])


@pytest.mark.parametrize("given, expected", cases("p2bot_selfplay_edges"))
def test_degenerate_batches(given, expected):
    given = tensors(given)
    if "discounted" in given:
        near(rewards.scaled(given["discounted"]), expected["scaled"])
        return
    near(rewards.baseline(given["rewards"]), expected["baseline"])
    advantages = rewards.advantage(given["rewards"])
    near(advantages, expected["advantage"])
    near(rewards.reinforce(given["normalised_log_probabilities"], advantages).mean(), expected["loss"])


@pytest.mark.parametrize("given, expected", cases("p2bot_coherence"))
def test_coherence(given, expected):
    near(rewards.coherence(torch.tensor(given["nup_logits"])), expected["scores"])


def test_saying_nothing_is_never_the_best():
    scores, empty = torch.tensor([[-2.0, 0.0], [-9.0, -3.0]]), torch.tensor([[False, True], [False, False]])
    assert rewards.with_empty_ones_last(scores, empty, -5.0).tolist() == [[-2.0, -9.0], [-9.0, -3.0]]
    assert rewards.with_empty_ones_last(scores, ~empty, -5.0)[0, 0] == -5.0
    assert rewards.with_empty_ones_last(scores, torch.ones(2, 2).bool(), -5.0).eq(-5).all()


def test_the_partners_answer_counts():
    """Who speaks first is rewarded for what the other says next, never for what was said before."""
    silent = torch.zeros(1, 4)
    answered = silent.clone()
    answered[0, 1] = 1.0
    assert rewards.discounted(answered, 0.5).tolist() == [[0.5, 1.0, 0.0, 0.0]]


def test_the_ways_there_and_back(random):
    one, other = torch.randn(2, 3, 5), torch.randn(2, 3, 5)
    spoken = rewards.interleave(one, other)
    assert torch.equal(rewards.of_agent(spoken, True), one) and torch.equal(rewards.of_agent(spoken, False), other)
