"""The two halves of the persona CVAE on GPT-2 (Cho et al., 2022): an encoder that infers both latents from the context, a
decoder that reads latents, context and response as one sequence."""

import math

import torch
from torch import Tensor

from fairseq_latent.gaussian import DiagonalGaussian

from ..coders import Encoder
from ..latents.persona import PersonaEmbedding, PersonaLatents, Tokens
from ..latents.sampling import sample_latent
from .decoder import LanguageModelDecoder
from .word_table import WordTable

OF_FADER = 0x5EED  # its noise is another stream than that of Zp


class PersonaEncoder(Encoder):
    """Infers both latents from the context alone; the decoder reads the context itself."""

    def __init__(self, dictionary, embedding: PersonaEmbedding, latents: PersonaLatents | None, longest: int):
        super().__init__(dictionary)
        self.embedding, self.latents, self.longest = embedding, latents, longest

    @property
    def embed_tokens(self) -> WordTable:
        """The word table."""
        return self.embedding.embed_tokens

    @property
    def latent_dim(self) -> int:
        """D, or 0 without latents."""
        return 0 if self.latents is None else self.embed_tokens.embedding_dim

    def prior(self, context: Tokens) -> DiagonalGaussian:
        """p(Zp|C) over (B, D)."""
        if self.latents is None:
            return self.nothing(context)
        return self.latents.prior(context, self.embedding)

    def nothing(self, context: Tokens) -> DiagonalGaussian:
        """A Gaussian of no dimension."""
        empty = context.vectors.new_zeros(context.vectors.size(0), 0)
        return DiagonalGaussian(empty, empty)

    def forward(
        self,
        src_tokens: Tensor,
        src_lengths: Tensor | None = None,
        noise_seed: Tensor | None = None,
        num_latents: int = 1,
        latent_mean: bool = False,
        fader: float | None = None,
        fader_noise: float = 0.0,
    ) -> dict[str, list[Tensor]]:
        """(B, S) -> the context, and out["latent"] = [Zp (B, D)], out["fader"] = [(B, D)] of the prior.

        With num_latents = N, src_tokens holds every context N times in a row; each is read once and gets N latents.
        `fader` sets that variable by hand, from 0 to 1; each dimension then varies by N(0, fader_noise^2) of itself.
        """
        tokens = src_tokens[::num_latents]
        context = self.embedding.context(tokens, with_end=True)
        prior = self.prior(context)
        z = sample_latent(prior, noise_seed, num_latents, latent_mean, "persona_dialogue")
        rows = torch.arange(len(tokens), device=src_tokens.device).repeat_interleave(num_latents)
        if self.latents is None:
            chosen = z
        elif fader is None:
            chosen = self.latents.fader(z, context[rows], self.embedding)
        else:
            chosen = self.latents.of_number(torch.full_like(z[:, 0], fader))
            if fader_noise:
                seeds = None if noise_seed is None else noise_seed ^ OF_FADER
                logvar = torch.full_like(prior.mean, 2 * math.log(fader_noise))
                around_one = DiagonalGaussian(torch.ones_like(logvar), logvar)
                chosen = chosen * sample_latent(around_one, seeds, num_latents, False, "persona_dialogue")
        return {"src_tokens": [src_tokens], "latent": [z], "fader": [chosen]}

    def reorder_encoder_out(self, encoder_out, new_order):
        """For beams: each keeps its context and its latents."""
        return {name: [value.index_select(0, new_order) for value in values] for name, values in encoder_out.items()}

    def max_positions(self) -> int:
        """The longest context."""
        return self.longest


class PersonaDecoder(LanguageModelDecoder):
    """A language model over (Zp, fader, context, response); the end of the context is the response's first input."""

    embedding: PersonaEmbedding

    def read(self, encoder_out: dict[str, list[Tensor]]) -> tuple[Tensor, Tokens]:
        """Both latents (B, 2, D), or none, and the context without its end."""
        latents = self.latents(encoder_out["latent"][0], encoder_out["fader"][0])
        return latents, self.embedding.context(encoder_out["src_tokens"][0], with_end=False)

    def respond(self, prev_output_tokens: Tensor, start: Tensor) -> Tokens:
        """(B, T) at positions from `start` (B,) on."""
        return self.embedding.response(prev_output_tokens, start)

    def latents(self, z: Tensor, fader: Tensor) -> Tensor:
        """(B, D), (B, D) -> (B, 2, D), the vectors before the context; (B, 0, D) where there are none."""
        if not z.size(-1):
            return super().latents(z, fader)
        dtype = self.embedding.embed_tokens.weight.dtype
        return torch.stack([z.to(dtype), fader.to(dtype)], dim=1)
