"""What is said in self-play, judged by frozen models: coherence, persona, language, repetition (Liu et al., 2020)."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import matching, rewards
from ..data.padding import padded
from ..errors import InputError
from ..modules.sentence_encoder import SENTENCE, UTTERANCE
from .frozen import Frozen, Speech, earlier_stage, speech_of
from .rollouts import AGENTS, Dialogues

ROWS = 64  # texts that a language model reads at once


@dataclass(frozen=True)
class Judged:
    """Of one agent, (B, T) each: what his utterances are worth by name, all in all, and the persona's score as it is."""

    parts: Mapping[str, Tensor]
    reward: Tensor
    persona_score: Tensor


@dataclass(frozen=True)
class Judges:
    """The frozen models, the weights by name, and how tokens of the data become text. A weight of 0 needs no model."""

    transmitter: Frozen | None
    receiver: Frozen
    speech: Speech | None
    weights: Mapping[str, float]
    discount: float
    text: Callable[[Sequence[int]], str]
    end: int

    def to(self, device: torch.device) -> "Judges":
        """Where the models compute."""
        for frozen in (self.transmitter, self.receiver):
            if frozen is not None:
                frozen.model.to(device)
        if self.speech is not None:
            self.speech.likelihood.to(device)
        return self

    @torch.no_grad()
    def judge(self, dialogues: Dialogues, agents: Sequence[int] = (0,)) -> dict[int, Judged]:
        """Agent -> what his utterances are worth; agent 0 speaks first."""
        encodings = [self._encodings(dialogues.said[agent]) for agent in AGENTS]
        raw = [self._persona_scores(dialogues, agent, encodings[agent]) for agent in AGENTS]
        persona = rewards.scaled(rewards.discounted(rewards.interleave(*raw), self.discount))
        repetition = rewards.repetition(rewards.interleave(*encodings))
        found = {}
        for agent in agents:
            first = agent == 0
            parts = {
                "persona": rewards.of_agent(persona, first),
                "repetition": rewards.of_agent(repetition, first),
            }
            if self.weights["coherence"]:
                parts["coherence"] = self._coherence(dialogues, agent)
            if self.weights["lm"]:
                parts["lm"] = self._language(dialogues.said[agent])
            device = persona.device
            parts = {name: part.to(device) for name, part in parts.items()}
            found[agent] = Judged(parts, rewards.total(parts, self.weights), raw[agent])
        return found

    def _encodings(self, said: Sequence[Sequence[Sequence[int]]]) -> Tensor:
        """[turn][rollout] -> (B, T, D)"""
        encoder, task = self.receiver.model.encoder, self.receiver.task
        texts = [tuple(text) for turn in said for text in turn]
        device = next(encoder.parameters()).device
        tokens = padded(task.encoded(texts), encoder.pad, device)
        return encoder(tokens, UTTERANCE).view(len(said), len(said[0]), -1).transpose(0, 1)

    def _persona_scores(self, dialogues: Dialogues, agent: int, encodings: Tensor) -> Tensor:
        """(B, T, D) -> (B, T); the order of a persona's sentences does not matter."""
        encoder, task = self.receiver.model.encoder, self.receiver.task
        sentences = [tuple(sentence) for sentence in dialogues.scene.personas[agent][0]]
        tokens = padded(task.encoded(sentences), encoder.pad, encodings.device)
        return matching.persona_score(encodings, encoder(tokens, SENTENCE))

    def _coherence(self, dialogues: Dialogues, agent: int) -> Tensor:
        """(B, T): is it the next utterance? Of what the agent read, and what he said with its end."""
        model = self.transmitter.model
        embedding = model.decoder.embedding
        device = embedding.embed_tokens.weight.device
        prompts = [prompt for turn in dialogues.prompts[agent] for prompt in turn]
        replies = [[*reply, self.end] for turn in dialogues.said[agent] for reply in turn]
        candidates = padded(replies, embedding.pad, device).unsqueeze(1)
        read = model.branches(padded(prompts, embedding.pad, device), None, candidates)
        logits = model.choice_head.logits(read.ends()).squeeze(1)
        return rewards.coherence(logits).view(dialogues.turns, dialogues.rollouts).T

    def _language(self, said: Sequence[Sequence[Sequence[int]]]) -> Tensor:
        """(B, T): mean log-probability of an utterance's words by the language model, after what begins a text."""
        words = [self.text(text) for turn in said for text in turn]
        ids = [list(text) for text in self.speech.ids(words)]
        scores = mean_log_probabilities(self.speech.likelihood.nats, [[self.speech.begin, *text] for text in ids])
        empty = torch.tensor([not text for text in ids], device=scores.device)
        scores = rewards.with_empty_ones_last(scores, empty, -math.log(self.speech.size))
        return scores.view(len(said), len(said[0])).T


def judges_of(
    stages: Mapping[str, str | None],
    weights: Mapping[str, float],
    discount: float,
    data: str,
    text: Callable[[Sequence[int]], str],
    end: int,
    device: torch.device,
) -> Judges:
    """The frozen models that the weights ask for; stages: paths of `transmitter`, `receiver` and `reward_lm`."""
    if not any(weights.values()):
        raise InputError("all weights of rewards are 0; remedy: e.g. --persona-reward 0.5")
    transmitter, path = None, stages["transmitter"]
    if weights["coherence"] or path:
        transmitter = earlier_stage(path, "--transmitter", "P2BotTransmitterModel", data)
        if weights["coherence"] and transmitter.model.choice_head is None:
            raise InputError(
                f"{path} was trained without its head for the next utterance, which judges the coherence; "
                "remedy: --candidates 2 in the first stage, or --coherence-reward 0"
            )
    receiver = earlier_stage(stages["receiver"], "--receiver", "P2BotReceiver", data)
    speech = speech_of(stages["reward_lm"], device) if weights["lm"] else None
    return Judges(transmitter, receiver, speech, weights, discount, text, end).to(device)


def mean_log_probabilities(nats: Callable, texts: Sequence[Sequence[int]]) -> Tensor:
    """Texts of ids -> (S,): the mean of log p(token | those before) over all but the first, which is given.

    nats: as `TextLikelihood.nats`. A text without a second token has the value 0.
    """
    scored = [place for place, text in enumerate(texts) if len(text) > 1]
    found = torch.zeros(len(texts))
    for start in range(0, len(scored), ROWS):
        places = scored[start : start + ROWS]
        part = [texts[place] for place in places]
        sums = nats(part, [[(1, len(text))] for text in part]).float().cpu()
        found[places] = -sums / torch.tensor([len(text) - 1 for text in part])
    return found
