"""What Cho et al. (2022) infer about the partner: the perception variable Zp and the fader variable.

All parts read tokens through one embedding: words and positions of the language model, and a role for what the partner
said.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import InputError
from ...gaussian import DiagonalGaussian
from ..full_precision import in_full
from ..language_models.word_table import WordTable
from .scaling import LatentScaling

ZP, FADER, OTHER = range(3)  # rows that follow the word table
LOGVAR_RANGE = 8.0


@dataclass(frozen=True)
class Tokens:
    """vectors (B, S, D) of words and roles, without positions; positions (B, S); mask (B, S): false at pads."""

    vectors: Tensor
    positions: Tensor
    mask: Tensor

    def __getitem__(self, rows) -> "Tokens":
        """Select examples."""
        return Tokens(self.vectors[rows], self.positions[rows], self.mask[rows])


class PersonaEmbedding(nn.Module):
    """Embeds contexts, profiles and responses of at most `longest` tokens together.

    positions: the body's table, whose first row is `offset`, or one for the latents' encoders alone. The symbol
    `end_of_turn` gets the vector of the symbol `read_as`.
    """

    def __init__(
        self,
        embed_tokens: WordTable,
        positions: nn.Embedding,
        offset: int,
        longest: int,
        dictionary,
        end_of_turn: int,
        read_as: int,
    ):
        super().__init__()
        self.embed_tokens, self.positions, self.offset, self.longest = embed_tokens, positions, offset, longest
        self.marks = nn.Embedding(3, embed_tokens.embedding_dim)
        nn.init.normal_(self.marks.weight, std=0.02)
        self.bos, self.pad, self.eos = dictionary.bos(), dictionary.pad(), dictionary.eos()
        self.end_of_turn, self.read_as = end_of_turn, read_as

    def context(self, tokens: Tensor, with_end: bool) -> Tokens:
        """(B, S) u1 <eot> u2 ... </s>, padded on either side -> (B, 1 + S) with <s> before; without its end on request.

        The last utterance is the partner's, and so is every second one before it: their words have the role.
        """
        ends = tokens.eq(self.end_of_turn)
        later = ends.flip(1).cumsum(1).flip(1)  # turns that end at or after the token
        of_other = later.remainder(2).eq(0) & tokens.ne(self.pad) & tokens.ne(self.eos)
        read = self._read(tokens, with_end)
        role = F.pad(of_other & ~ends, (1, 0)).unsqueeze(-1) * self.marks.weight[OTHER]
        return Tokens(read.vectors + role, read.positions, read.mask)

    def profile(self, tokens: Tensor) -> Tokens:
        """(B, S) d1 <eot> d2 ... </s> -> (B, 1 + S) with <s> before; nobody's role, positions from 0."""
        return self._read(tokens, with_end=True, remedy="a smaller --max-partner-tokens")

    def position_vectors(self, positions: Tensor) -> Tensor:
        """(B, S) -> (B, S, D)"""
        return F.embedding(positions + self.offset, self.positions.weight)

    def _read(
        self, tokens: Tensor, with_end: bool, remedy: str = "a shorter context, without its oldest turns"
    ) -> Tokens:
        tokens = F.pad(tokens, (1, 0), value=self.bos)
        if tokens.size(1) > self.longest:
            raise InputError(f"{tokens.size(1)} tokens, --positions of the model are {self.longest}; remedy: {remedy}")
        mask = tokens.ne(self.pad) if with_end else tokens.ne(self.pad) & tokens.ne(self.eos)
        read = (
            tokens
            if self.read_as == self.end_of_turn
            else tokens.masked_fill(tokens.eq(self.end_of_turn), self.read_as)
        )
        return Tokens(self.embed_tokens(read), (mask.cumsum(1) - 1).clamp(min=0), mask)

    def response(self, tokens: Tensor, start: Tensor) -> Tokens:
        """(B, T) at positions from `start` (B,) on."""
        positions = start.unsqueeze(1) + torch.arange(tokens.size(1), device=tokens.device)
        return Tokens(self.embed_tokens(tokens), positions.clamp(max=self.longest - 1), tokens.ne(self.pad))


class GaussianHead(nn.Module):
    """Two layers from a state (B, D) to a Gaussian over (B, D); both ends start near N(0, I)."""

    def __init__(self, embed_dim: int, hidden_dim: int):
        super().__init__()
        self.hidden, self.out = nn.Linear(embed_dim, hidden_dim), nn.Linear(hidden_dim, 2 * embed_dim)
        nn.init.normal_(self.out.weight, std=0.02)
        nn.init.zeros_(self.out.bias)

    def forward(self, state: Tensor) -> DiagonalGaussian:
        """(B, D) -> N over (B, D), its log variances within 8 of 0."""
        with torch.autocast(state.device.type, enabled=False):
            hidden = in_full(self.hidden, state)
            mean, logvar = in_full(self.out, F.leaky_relu(hidden)).chunk(2, dim=-1)
        return DiagonalGaussian(mean, logvar.clamp(-LOGVAR_RANGE, LOGVAR_RANGE))


class PersonaLatents(nn.Module):
    """p(Zp|C), p(fader|C, Zp) and q(Zp|P); q(fader|P, R) has no parameters, it is the similarity of P and R.

    Both priors are one stack, run twice (Fig. 3); the heads of prior and posterior differ.

    A fader is a number s from 0 to 1 along a direction, s * (1, 1, ...) in the paper. But all of GPT-2's blocks read through
    LayerNorms, which subtract the mean over dimensions: a constant vector is nothing to them, whatever s. Along
    (1, -1, 1, -1, ...), as long and with a mean of 0, they see it. RMSNorms, as in Llama, see a direction, but not how far a
    vector goes in it: s * u + (1 - s) * v, with u and v orthogonal, turns from v to u.
    """

    def __init__(
        self,
        prior: nn.Module,
        recognition: nn.Module,
        embed_dim: int,
        head_dim: int,
        fader_mode: str,
        direction: str,
        scaling: LatentScaling | None = None,
    ):
        super().__init__()
        self.prior_reader, self.recognition_reader = prior, recognition
        self.prior_head, self.recognition_head = GaussianHead(embed_dim, head_dim), GaussianHead(embed_dim, head_dim)
        self.fader_mode = fader_mode
        self.scaling = scaling or LatentScaling(embed_dim)
        start, direction = fader_line(direction, embed_dim)
        self.register_buffer("start", start, persistent=False)
        self.register_buffer("direction", direction, persistent=False)

    def prior(self, context: Tokens, embedding: PersonaEmbedding) -> DiagonalGaussian:
        """p(Zp|C) over (B, D)."""
        return self.scaling.prior(self.prior_head(self._slot(self.prior_reader, context, embedding)))

    def posterior(self, profile: Tokens, embedding: PersonaEmbedding) -> DiagonalGaussian:
        """q(Zp|P) over (B, D): of the profile alone, neither context nor response."""
        return self.scaling.posterior(self.recognition_head(self._slot(self.recognition_reader, profile, embedding)))

    def recognition_parameters(self) -> list[nn.Parameter]:
        """Those that q(Zp|P) shares with nothing; a language model's position table is the body's too."""
        shared = {id(each) for each in self.prior_reader.parameters()}
        parts = (self.recognition_reader, self.recognition_head, self.scaling)
        own = [each for part in parts for each in part.parameters()]
        return [each for each in own if id(each) not in shared]

    def fader(self, z: Tensor, context: Tokens, embedding: PersonaEmbedding) -> Tensor:
        """(B, D) -> the mean of p(fader|C, Zp), (B, D)."""
        mark = embedding.marks.weight[FADER].expand_as(z)
        state = self.prior_reader(torch.stack([z.to(mark.dtype), mark], 1), context, embedding.position_vectors)[:, 1]
        return state if self.fader_mode == "vector" else self.of_number(state.float().mean(-1).sigmoid())

    def of_number(self, value: Tensor) -> Tensor:
        """(B,) -> (B, D): the fader of a value, by hand or the similarity in training."""
        return self.start + value.unsqueeze(-1) * self.direction

    def number(self, fader: Tensor) -> Tensor:
        """(B, D) -> (B,): how far a fader goes in its direction."""
        along = ((fader.float() - self.start) * self.direction).sum(-1)
        return along / self.direction.float().square().sum()

    def fader_kl(self, fader: Tensor, similarity: Tensor) -> Tensor:
        """(B, D), (B,) -> (B,) nats: KL of two Gaussians of variance 1, the posterior's mean the similarity's fader.

        The mean over D, not the sum: the posterior is one number, repeated.
        """
        return 0.5 * (fader.float() - self.of_number(similarity.float())).square().mean(-1)

    @staticmethod
    def _slot(reader: nn.Module, tokens: Tokens, embedding: PersonaEmbedding) -> Tensor:
        slot = embedding.marks.weight[ZP].expand(tokens.vectors.size(0), 1, -1)
        return reader(slot, tokens, embedding.position_vectors)[:, 0]


def fader_line(kind: str, embed_dim: int) -> tuple[Tensor, Tensor]:
    """Where the line of all faders starts, and where it leads from 0 to 1: two vectors (D,)."""
    ones = torch.ones(embed_dim)
    signs = torch.where(torch.arange(embed_dim) % 2 == 0, ones, -ones)
    if kind == "blend":
        pairs = torch.where(torch.arange(embed_dim) % 4 < 2, ones, -ones)  # a mean of 0, orthogonal to the signs
        return pairs, signs - pairs
    return torch.zeros(embed_dim), signs if kind == "signs" else ones
