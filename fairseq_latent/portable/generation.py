"""Beam search, greedy decoding and sampling as fairseq's generator does them, hypothesis for hypothesis; torch alone.

A sentence is finished when as many hypotheses have ended as the beam is wide. Of twice as many candidates those among the
best `beam` that end are taken, and the best that go on fill the beam again.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..decoding.seeded_words import SeededWords, renormalised


@dataclass(frozen=True)
class Settings:
    """The flags of fairseq-generate by their names; `longest`: tokens of a text (--max-len-b), without its end."""

    beam: int = 5
    longest: int = 200
    min_len: int = 1
    lenpen: float = 1.0
    unkpen: float = 0.0
    temperature: float = 1.0
    sampling: bool = False
    sampling_topk: int = -1
    sampling_topp: float = -1.0
    forbidden: tuple[int, ...] = ()  # ids of what is never said


@dataclass(frozen=True)
class Hypothesis:
    """tokens (T,) with their end; score: the mean log-probability per token^lenpen, in nats."""

    tokens: Tensor
    score: float


class Choice(Protocol):
    """Candidates of a step: their scores so far, words and hypotheses, (B, C) each, from log-probabilities (B, beam, V)."""

    def step(self, step, lprobs: Tensor, scores: Tensor, prev_output_tokens=None, original_batch_idxs=None): ...


class Best:
    """The best continuations of all hypotheses together, two for each place in the beam."""

    def step(self, step, lprobs: Tensor, scores: Tensor, prev_output_tokens=None, original_batch_idxs=None):
        """See `Choice`."""
        beam, words = lprobs.size(1), lprobs.size(-1)
        lprobs = lprobs[:, :1] if step == 0 else lprobs + scores[:, :, step - 1 : step]
        flat = lprobs.flatten(1)
        found, places = flat.topk(min(2 * beam, flat.size(1) - 1))
        return found, places % words, places // words


class Sampled(SeededWords):
    """A word for each hypothesis, of its own noise."""

    def __init__(self, settings: Settings):
        self.sampling_topk, self.sampling_topp = settings.sampling_topk, settings.sampling_topp


@torch.no_grad()
def encode(
    network: Any, tokens: Tensor, seeds: Tensor, num_latents: int = 1, z: Tensor | None = None, **sampling: object
) -> dict[str, list[Tensor]]:
    """Contexts (B, S) with noise seeds (B,) -> the encoder's output of B * N latents, N of each context in a row.

    z (B * N, Z): latents in place of samples. sampling: how the encoder samples them, keywords of its `forward`.
    """
    tokens, seeds = (each.repeat_interleave(num_latents, dim=0) for each in (tokens, seeds))
    encoded = network.encoder(tokens, None, seeds, num_latents=num_latents, **sampling)
    return encoded if z is None else network.with_latents(encoded, z)


@torch.no_grad()
def generate(
    network: Any, settings: Settings, encoded: dict[str, list[Tensor]], seeds: Tensor, num_latents: int = 1
) -> list[list[Hypothesis]]:
    """What `encode` gave, and the same seeds (B,) -> for each of B * N latents its hypotheses, the best first."""
    choice: Choice = Best()
    if settings.sampling:
        choice = sampled = Sampled(settings)
        beam = min(settings.beam, len(network.decoder.dictionary) - 1)
        sampled.begin(seeds.repeat_interleave(num_latents, dim=0), num_latents, beam)
    return Search(network, settings, choice)(encoded, len(seeds) * num_latents)


class Search:
    """One batch; what is finished leaves it."""

    def __init__(self, network: Any, settings: Settings, choice: Choice):
        self.network, self.settings, self.choice = network, settings, choice
        words = network.decoder.dictionary
        self.pad, self.unk, self.eos = words.pad(), words.unk(), words.eos()
        self.beam = min(settings.beam, len(words) - 1)  # a pad is never said
        self.longest = min(settings.longest, network.decoder.max_positions() - 1)
        self.state: dict = {}

    def __call__(self, encoded: dict[str, list[Tensor]], size: int) -> list[list[Hypothesis]]:
        """The encoder's output of B sentences -> their hypotheses."""
        device, beam = encoded["latent"][0].device, self.beam
        sentences = torch.arange(size, device=device)  # those that are left
        encoded = self.network.encoder.reorder_encoder_out(encoded, sentences.repeat_interleave(beam))
        tokens = torch.full((size * beam, 1), self.eos, device=device)
        scores = torch.zeros(size, beam, 0, device=device)
        ignored = torch.zeros(size, beam, dtype=torch.bool, device=device)  # places that nothing is left for
        ended: list[list[Hypothesis]] = [[] for _ in range(size)]
        for step in range(self.longest + 1):
            lprobs = self._lprobs(step, tokens, encoded)
            found, words, beams = self.choice.step(
                step, lprobs.view(len(sentences), beam, -1), scores, tokens, sentences
            )
            ends = words.eq(self.eos) & found.ne(-math.inf)
            ends[:, :beam] &= ~ignored
            rows = beams + torch.arange(len(sentences), device=device).unsqueeze(1) * beam
            for sentence, place in ends[:, :beam].nonzero().tolist():
                hypotheses = ended[int(sentences[sentence])]
                if len(hypotheses) < beam:
                    said = tokens[rows[sentence, place], 1:]
                    score = float(found[sentence, place] / (step + 1) ** self.settings.lenpen)
                    hypotheses.append(Hypothesis(torch.cat([said, said.new_tensor([self.eos])]), score))
            left = torch.tensor(
                [len(ended[sentence]) < beam and step < self.longest for sentence in sentences.tolist()], device=device
            )
            if not left.any():
                break
            sentences, ends, rows = sentences[left], ends[left], rows[left]
            found, words, ignored = found[left], words[left], ignored[left]
            ends[:, :beam] |= ignored
            later = ends * ends.size(1) + torch.arange(ends.size(1), device=device)  # what goes on comes first
            order, kept = later.topk(beam, dim=1, largest=False)
            ignored = order.ge(ends.size(1))
            chosen = rows.gather(1, kept).flatten()
            tokens = torch.cat([tokens[chosen], words.gather(1, kept).view(-1, 1)], dim=1)
            before = scores.flatten(0, 1)[chosen].view(len(sentences), beam, -1)
            scores = torch.cat([before, found.gather(1, kept).unsqueeze(-1)], dim=-1)
            self.network.decoder.reorder_incremental_state(self.state, chosen)
            encoded = self.network.encoder.reorder_encoder_out(encoded, chosen)
        return [sorted(each, key=lambda hypothesis: -hypothesis.score) for each in ended]

    def _lprobs(self, step: int, tokens: Tensor, encoded: dict[str, list[Tensor]]) -> Tensor:
        """(R, V): log-probabilities of the next word."""
        logits = self.network.decoder(tokens, encoded, self.state)[0][:, -1]
        lprobs = (logits / self.settings.temperature).float().log_softmax(-1)
        lprobs = lprobs.nan_to_num(nan=-math.inf, neginf=-math.inf)
        lprobs[:, self.pad] = -math.inf
        lprobs[:, self.unk] -= self.settings.unkpen
        if step >= self.longest:
            lprobs[:, : self.eos] = lprobs[:, self.eos + 1 :] = -math.inf
        if step < self.settings.min_len:
            lprobs[:, self.eos] = -math.inf
        lprobs[:, list(self.settings.forbidden)] = -math.inf
        return renormalised(lprobs) if self.settings.sampling and self.settings.forbidden else lprobs
