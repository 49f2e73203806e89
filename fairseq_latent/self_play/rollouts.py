"""Dialogues of two agents with the same weights: who reads what, and how their words are chosen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..data.own_persona import Ids, PromptLayout, shuffled
from ..data.speakers import Speaker
from ..decoding.search import ban_bigrams
from ..decoding.seeded_words import gumbel, splitmix
from ..modules.prompts.cache import Choose, PromptCache

AGENTS = (0, 1)


@dataclass(frozen=True)
class Scene:
    """B rollouts of one pair of people: personas[agent][rollout], and what agent 1 said first."""

    personas: tuple[list[list[Ids]], list[list[Ids]]]
    opening: Ids


@dataclass(frozen=True)
class Dialogues:
    """prompts, said: [agent][turn][rollout], ids; said without the end. ended (2, T, B): whether it was said."""

    scene: Scene
    prompts: tuple[list[list[list[int]]], list[list[list[int]]]]
    said: tuple[list[list[list[int]]], list[list[list[int]]]]
    ended: Tensor

    @property
    def rollouts(self) -> int:
        """B."""
        return len(self.scene.personas[0])

    @property
    def turns(self) -> int:
        """T, of each agent."""
        return len(self.said[0])


def scene_of(pair: Sequence[Speaker], rollouts: int, *seed: int) -> Scene:
    """Two people -> B copies, each with the sentences of both personas in an order of its own, sampled from `seed`."""
    personas = [
        [shuffled(person.persona, *seed, agent, rollout) for rollout in range(rollouts)]
        for agent, person in zip(AGENTS, pair, strict=True)
    ]
    return Scene((personas[0], personas[1]), pair[1].utterances[0])


def drawn_pair(people: Sequence[Speaker], *seed: int) -> tuple[Speaker, Speaker]:
    """Two people, sampled independently, as the authors do: a person can meet himself."""
    one, other = np.random.default_rng([number % 2**32 for number in seed]).integers(len(people), size=2)
    return people[int(one)], people[int(other)]


def context(layout: PromptLayout, persona: Sequence[Ids], opening: Ids, said: Sequence[Ids], agent: int) -> list[int]:
    """The prompt of an agent: `said` are the utterances of both after agent 1's opening, agent 0's first.

    To agent 0 the opening is the partner's, to agent 1 his own.
    """
    history = [opening, *said]
    if len(history) % 2 == agent:
        raise ValueError(f"it is not the turn of agent {agent}")
    return layout.prompt(persona, history)[0]


def play(models: Sequence, scene: Scene, turns: int, choose: Sequence[Choose], longest: int, end: int) -> Dialogues:
    """Agents 0 and 1 speak `turns` times each, agent 0 first; models and `choose` are theirs."""
    caches = [PromptCache(model.decoder) for model in models]
    rollouts = len(scene.personas[0])
    history: list[list[Ids]] = [[] for _ in range(rollouts)]
    prompts: tuple[list, list] = [], []
    said: tuple[list, list] = [], []
    ended: tuple[list, list] = [], []
    for _ in range(turns):
        for agent in AGENTS:
            layout = models[agent].prompt_layout
            read = [
                context(layout, scene.personas[agent][row], scene.opening, history[row], agent)
                for row in range(rollouts)
            ]
            replies, done = caches[agent].reply(read, choose[agent], longest, end)
            prompts[agent].append(read)
            said[agent].append(replies)
            ended[agent].append(done)
            for row, reply in enumerate(replies):
                history[row].append(reply)
    return Dialogues(scene, prompts, said, torch.stack([torch.stack(each) for each in ended]))


class Greedy:
    """The most probable word that repeats no bigram; some words are never said."""

    def __init__(self, forbidden: Sequence[int]):
        self.forbidden = list(forbidden)

    def allowed(self, lprobs: Tensor, said: Tensor, step: int) -> Tensor:
        """(B, V) -> (B, V) with -inf where a word is not allowed."""
        lprobs = ban_bigrams(lprobs, said, step).clone()
        lprobs[:, self.forbidden] = -torch.inf
        return lprobs

    def __call__(self, lprobs: Tensor, said: Tensor, step: int) -> Tensor:
        """(B, V), (B, t), t -> (B,)"""
        return self.allowed(lprobs, said, step).argmax(-1)


class Sampled(Greedy):
    """A word sampled from the `topk` best at a temperature; the noise is of (seed, rollout, utterance, step) alone."""

    def __init__(self, forbidden: Sequence[int], temperature: float, topk: int, *seed: int):
        super().__init__(forbidden)
        self.temperature, self.topk = temperature, topk
        state = np.random.SeedSequence([number % 2**32 for number in seed]).generate_state(1, np.uint64)[0]
        self.stream, self.utterance = int(state) >> 1, -1

    def __call__(self, lprobs: Tensor, said: Tensor, step: int) -> Tensor:
        """(B, V), (B, t), t -> (B,)"""
        if step == 0:
            self.utterance += 1
        lprobs = self.allowed(lprobs, said, step) / self.temperature
        best, words = lprobs.topk(min(self.topk, lprobs.size(-1)) if self.topk else lprobs.size(-1))
        rows = torch.arange(len(lprobs), device=lprobs.device)
        streams = splitmix(
            splitmix(torch.tensor(self.stream, device=lprobs.device), rows), torch.tensor(self.utterance)
        )
        noise = gumbel(splitmix(splitmix(streams, torch.tensor(step)).unsqueeze(1), words))
        return words.gather(1, (best + noise).argmax(-1, keepdim=True)).squeeze(1)
