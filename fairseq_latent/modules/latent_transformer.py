"""What T-CVAE does with the layers of a Transformer (Wang and Wan, 2019; Sato et al., 2021), whoever built them.

`models.t_cvae` has fairseq's layers, `portable.transformer` layers of torch alone, with the same parameters under the same
names. Everything here works on both.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ..gaussian import DiagonalGaussian
from .latents.fusion import DecodedResponse, LatentFusion
from .latents.sampling import sample_latent
from .lexical_model import LexicalModel
from .packed import PackedStates, Packing, decoder_layer, embed, encoder_layer


class LatentReading:
    """Encodes contexts and responses by a stack's `layers`; it has `padding_idx` and what `packed.embed` reads, too.

    latent: the heads of prior and posterior. posterior_encoding: context and response apart (`separate`), or as one sequence
    (`joint`). response_alone: the posterior reads the response only.
    """

    layers: Any
    padding_idx: int
    latent: Any
    posterior_encoding: str
    response_alone: bool

    def encode(self, *batches: tuple[Tensor, Packing]) -> list[PackedStates]:
        """Tokens (B, S) of contexts, of responses, ... -> their states, by one pass through the layers for all."""
        packings = [packing for _, packing in batches]
        states = torch.cat([embed(self, tokens, packing) for tokens, packing in batches])
        for layer in self.layers:
            states = encoder_layer(layer, states, packings)
        parts = states.split([len(packing) for packing in packings])
        return [PackedStates(part, packing) for part, packing in zip(parts, packings, strict=True)]

    def forward(
        self,
        src_tokens: Tensor,
        src_lengths: Tensor | None = None,
        noise_seed: Tensor | None = None,
        num_latents: int = 1,
        latent_mean: bool = False,
    ) -> dict[str, list[Tensor]]:
        """(B, S) -> encoder output with out["latent"] = [z (B, Z)] sampled from the prior, for decoding without a response.

        With num_latents = N, src_tokens holds every context N times in a row; each is encoded once and gets N latents.
        """
        tokens = src_tokens[::num_latents]
        (context,) = self.encode((tokens, Packing(self.real(tokens))))
        prior = self.latent.prior([context])
        z = sample_latent(prior, noise_seed, num_latents, latent_mean, "dialogue")
        out = as_fairseq(context, tokens)
        if num_latents > 1:
            rows = torch.arange(len(tokens), device=src_tokens.device).repeat_interleave(num_latents)
            out = reordered(out, rows)
        return {**out, "latent": [z]}

    def real(self, tokens: Tensor) -> Tensor:
        """(B, S) -> (B, S) bool: false at pads."""
        return tokens.ne(self.padding_idx)

    def distributions(
        self, src_tokens: Tensor, response: Tensor, of_context: Packing, of_response: Packing
    ) -> tuple[PackedStates, DiagonalGaussian, DiagonalGaussian]:
        """Contexts (B, S) and responses (B, T) -> the contexts' states, p(z|x) and q(z|x, y) over (B, Z)."""
        of_posterior = (response, of_response)
        if self.posterior_encoding == "joint":
            joined = torch.cat([src_tokens, response], dim=1)
            of_posterior = joined, Packing(self.real(joined), len(of_context.tokens) + len(of_response.tokens))
        context, read = self.encode((src_tokens, of_context), of_posterior)
        alone = self.response_alone or self.posterior_encoding == "joint"
        return context, self.latent.prior([context]), self.latent.posterior([read] if alone else [context, read])

    def reorder_encoder_out(self, encoder_out: dict[str, list[Tensor]], new_order: Tensor) -> dict[str, list[Tensor]]:
        """For beams: each keeps its context and its latent."""
        return reordered(encoder_out, new_order)


class LatentDecoding:
    """Decodes a batch of responses up to the latent; it has `embed_tokens` and `embed_scale`, too."""

    layers: Any
    fusion: LatentFusion
    lexical: LexicalModel | None
    embed_tokens: Any
    embed_scale: Any
    output_projection: nn.Linear

    def states(self, prev_output_tokens: Tensor, packing: Packing, context: PackedStates) -> Tensor:
        """(B, T) -> (N, H), what the last layer gives of the real tokens."""
        states = embed(self, prev_output_tokens, packing)
        for layer in self.layers:
            states = decoder_layer(layer, states, packing, context)
        return states

    def decode(
        self, prev_output_tokens: Tensor, packing: Packing, context: PackedStates, src_tokens: Tensor, target: Tensor
    ) -> DecodedResponse:
        """(B, T): one pass through the layers, which any number of latents can then share."""
        states = self.states(prev_output_tokens, packing, context)
        added = None
        if self.lexical is not None:
            added = self.lexical.packed(states, packing, context, self.words(context.packing.pack(src_tokens)))
        return DecodedResponse(self.fusion, self.output_projection, PackedStates(states, packing), target, added)

    def hidden(self, states: Tensor, encoder_out: dict[str, list[Tensor]]) -> Tensor:
        """The layers' last states (B, T, H) -> what meets the output projection."""
        hidden = self.fusion(states, encoder_out["latent"][0].unsqueeze(1))
        if self.lexical is None:
            return hidden
        context, mask = encoder_out["encoder_out"][0].transpose(0, 1), ~encoder_out["encoder_padding_mask"][0]
        return hidden + self.lexical(states, context, self.words(encoder_out["src_tokens"][0]), mask)

    def words(self, tokens: Tensor) -> Tensor:
        """(...) -> (..., H): embeddings without positions."""
        return self.embed_scale * self.embed_tokens(tokens)


def as_fairseq(context: PackedStates, tokens: Tensor) -> dict[str, list[Tensor]]:
    """What fairseq's decoder and beam search expect of an encoder."""
    return {
        "encoder_out": [context.padded().transpose(0, 1)],  # (S, B, H)
        "encoder_padding_mask": [~context.packing.mask],
        "encoder_embedding": [],
        "encoder_states": [],
        "src_tokens": [tokens],
        "src_lengths": [],
    }


def reordered(encoder_out: dict[str, list[Tensor]], rows: Tensor) -> dict[str, list[Tensor]]:
    """The examples `rows` (R,) of an encoder's output, in that order."""
    dimension = {"encoder_out": 1}
    return {
        name: [value.index_select(dimension.get(name, 0), rows) for value in values]
        for name, values in encoder_out.items()
    }


def share_layers(encoder: Any, decoder: Any) -> None:
    """Decoder layer i takes the attention and feed-forward modules of encoder layer i; LayerNorms stay apart.

    Self-attention and attention to the context both use the encoder layer's self-attention.
    """
    for source, layer in zip(encoder.layers, decoder.layers, strict=True):
        for attention in (layer.self_attn, layer.encoder_attn):
            for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
                setattr(attention, projection, getattr(source.self_attn, projection))
        layer.fc1, layer.fc2 = source.fc1, source.fc2
