"""P²BOT's beam search (Liu et al., 2020): hypotheses that have ended compete with live ones in one list.

All are compared by the sum of log-probabilities / (tokens, the end and the start among them); the search ends when all in
the list have ended. From the fourth token on no bigram of a hypothesis is repeated, the start among its tokens.
"""

import math

import torch
from fairseq.search import Search
from fairseq.sequence_generator import SequenceGenerator
from torch import Tensor

from ..errors import InputError
from .search import ban_bigrams


class CompetingBeam(SequenceGenerator):
    """What fairseq calls as its own generator; models, dictionary, beam size, lengths and temperature are fairseq's."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if type(self.search).__name__ != "BeamSearch":
            raise InputError(
                "--p2bot-search is a beam search of its own; remedy: without --sampling and other searches"
            )
        self.search = OneList(self.tgt_dict)

    def _generate(self, sample, prefix_tokens=None, constraints=None, bos_token=None) -> list[list[dict]]:
        """A batch -> for each of its B sentences `beam_size` hypotheses, the best first."""
        if prefix_tokens is not None or constraints is not None:
            raise InputError("--p2bot-search knows no prefixes and no constraints; remedy: leave them out")
        net_input = sample["net_input"]
        source = net_input["src_tokens"]
        size, beams = len(source), self.beam_size
        steps = min(int(self.max_len_a * source.size(1) + self.max_len_b), self.max_len - 1)
        encoder_outs = self.model.forward_encoder(net_input)
        order = torch.arange(size, device=source.device).repeat_interleave(beams)
        encoder_outs = self.model.reorder_encoder_out(encoder_outs, order)
        states: list[dict] = [{} for _ in self.model.models]
        tokens = torch.full((size, beams, 1), self.eos if bos_token is None else bos_token, device=source.device)
        scores = source.new_zeros(size, beams, 0, dtype=torch.float)
        found = Ended.at_the_start(size, beams, source.device)
        for step in range(steps + 1):
            flat = tokens.flatten(0, 1)
            lprobs, _ = self.model.forward_decoder(flat, encoder_outs, states, self.temperature)
            lprobs = lprobs.float().view(size, beams, -1)
            lprobs[..., [self.pad]] = -math.inf
            lprobs[..., self.unk] -= self.unk_penalty
            if step < self.min_len:
                lprobs[..., self.eos] = -math.inf
            if step == steps:
                lprobs[..., : self.eos] = lprobs[..., self.eos + 1 :] = -math.inf
            lprobs = ban_bigrams(lprobs, tokens, step)
            score, word, beam = self.search.step(step, lprobs, (found, self.eos), tokens)
            rows = beam + torch.arange(size, device=beam.device).unsqueeze(1) * beams
            tokens = torch.cat([flat[rows.flatten()].view(size, beams, -1), word.unsqueeze(-1)], -1)
            scores = torch.cat([scores.flatten(0, 1)[rows.flatten()].view(size, beams, -1), score.unsqueeze(-1)], -1)
            found = found.chosen(beam, score, word.eq(self.eos))
            if found.ended.all():
                break
            self.model.reorder_incremental_state(states, rows.flatten())
            encoder_outs = self.model.reorder_encoder_out(encoder_outs, rows.flatten())
        return self._hypotheses(tokens, scores, found)

    def _hypotheses(self, tokens: Tensor, scores: Tensor, found: "Ended") -> list[list[dict]]:
        values = found.values()
        made = []
        for sentence in range(len(tokens)):
            beam = []
            for place in values[sentence].argsort(descending=True).tolist():
                if not values[sentence, place].isfinite():
                    continue  # nothing but this could be said
                length = int(found.lengths[sentence, place])
                beam.append({
                    "tokens": tokens[sentence, place, 1 : length + 1],
                    "score": values[sentence, place],
                    "attention": None,
                    "alignment": torch.empty(0),
                    "positional_scores": scores[sentence, place, :length],
                })  # fmt: skip
            made.append(beam)
        return made


class Ended:
    """Of B lists of K hypotheses: sums of log-probabilities, lengths in tokens, and which have ended; (B, K) each."""

    def __init__(self, sums: Tensor, lengths: Tensor, ended: Tensor):
        self.sums, self.lengths, self.ended = sums, lengths, ended

    @classmethod
    def at_the_start(cls, size: int, beams: int, device) -> "Ended":
        """One hypothesis without tokens each: the others are impossible."""
        sums = torch.full((size, beams), -math.inf, device=device)
        sums[:, 0] = 0.0
        lengths = torch.zeros(size, beams, dtype=torch.long, device=device)
        return cls(sums, lengths, torch.zeros_like(lengths).bool())

    def values(self) -> Tensor:
        """(B, K): what they are compared by."""
        return self.sums / (self.lengths + 1)

    def chosen(self, beam: Tensor, score: Tensor, end: Tensor) -> "Ended":
        """After a step: those of the places `beam` (B, K); live ones got a token of log-probability `score`."""
        live = ~self.ended.gather(1, beam)
        lengths = self.lengths.gather(1, beam) + live
        return Ended(self.sums.gather(1, beam) + score * live, lengths, ~live | end)


class OneList(Search):
    """A step of the search, in the form in which `search.restrict` knows steps."""

    def step(self, number: int, lprobs: Tensor, scores, prev_output_tokens=None, original_batch_idxs=None):
        """(B, K, V) and ((Ended, end), as scores) -> log-probabilities, words and places (B, K) of the next list."""
        found, end = scores
        words = lprobs.size(-1)
        stays = torch.full_like(lprobs[:1, :1], -math.inf)
        stays[..., end] = 0.0
        lprobs = torch.where(found.ended.unsqueeze(-1), stays, lprobs)
        lengths = found.lengths + ~found.ended
        values = (found.sums.unsqueeze(-1) + lprobs) / (lengths + 1).unsqueeze(-1)
        places = values.flatten(1).topk(lprobs.size(1)).indices
        beam, word = places // words, places % words
        return lprobs.flatten(1).gather(1, places), word, beam
