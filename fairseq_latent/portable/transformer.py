"""T-CVAE's encoder and decoder on Transformer layers of torch alone.

fairseq's layers have the same parameters under the same names (Vaswani et al., 2017: LayerNorms after sublayers, sinusoidal
positions that skip pads), so that weights go from one to the other as they are.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..modules.activations import ACTIVATIONS
from ..modules.coders import Encoder, StepwiseDecoder
from ..modules.latent_transformer import LatentDecoding, LatentReading
from ..modules.latents.fusion import LatentFusion
from ..modules.lexical_model import LexicalModel
from ..modules.packed import PackedStates, Packing

LONGEST_WAVE = 10_000


class Dropout(nn.Module):
    """Nothing is dropped: these models are not trained."""

    p = 0.0
    apply_during_inference = False

    def forward(self, states: Tensor) -> Tensor:
        """As they are."""
        return states


class Attention(nn.Module):
    """Projections of queries, keys and values; what is done with them is in `packed` and `Layer.step`."""

    def __init__(self, embed_dim: int, heads: int):
        super().__init__()
        self.num_heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(embed_dim, embed_dim) for _ in range(4))
        self.dropout_module = Dropout()

    def split(self, states: Tensor) -> Tensor:
        """(B, T, H) -> (B, heads, T, H / heads)"""
        return states.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class Layer(nn.Module):
    """A layer of the encoder, or with attention to the context of the decoder."""

    def __init__(self, embed_dim: int, ffn_dim: int, heads: int, activation: str, of_decoder: bool):
        super().__init__()
        self.self_attn, self.self_attn_layer_norm = Attention(embed_dim, heads), nn.LayerNorm(embed_dim)
        if of_decoder:
            self.encoder_attn, self.encoder_attn_layer_norm = Attention(embed_dim, heads), nn.LayerNorm(embed_dim)
        self.fc1, self.fc2 = nn.Linear(embed_dim, ffn_dim), nn.Linear(ffn_dim, embed_dim)
        self.final_layer_norm = nn.LayerNorm(embed_dim)
        self.activation_fn = ACTIVATIONS[activation]
        self.dropout_module = self.activation_dropout_module = Dropout()

    def step(
        self, states: Tensor, past: list[Tensor], context: list[Tensor], hidden: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """The newest states (B, 1, H) of a decoder; keys and values (B, heads, t, H / heads) of what was read before.

        context: keys and values of the context. hidden (B, 1, 1, S): true at its tokens. Gives past with the newest, too.
        """
        attention = self.self_attn
        query, *new = (
            attention.split(project(states)) for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        past = [torch.cat(pair, dim=2) for pair in zip(past, new, strict=True)] if past else new
        attended = F.scaled_dot_product_attention(query, past[0], past[1]).transpose(1, 2).flatten(2)
        states = self.self_attn_layer_norm(states + attention.out_proj(attended))
        attention = self.encoder_attn
        query = attention.split(attention.q_proj(states))
        attended = F.scaled_dot_product_attention(query, context[0], context[1], hidden).transpose(1, 2).flatten(2)
        states = self.encoder_attn_layer_norm(states + attention.out_proj(attended))
        return self.final_layer_norm(states + self.fc2(self.activation_fn(self.fc1(states)))), past


class Positions(nn.Module):
    """Sines and cosines: the first token of a text has position `padding_idx` + 1, a pad the zero vector."""

    frequencies: Tensor

    def __init__(self, embed_dim: int, padding_idx: int):
        super().__init__()
        self.embed_dim, self.padding_idx = embed_dim, padding_idx
        self.register_buffer("frequencies", _frequencies(embed_dim), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T) -> (B, T, H)"""
        mask = tokens.ne(self.padding_idx)
        return self.at(mask.cumsum(1) + self.padding_idx) * mask.unsqueeze(-1)

    def at(self, positions: Tensor) -> Tensor:
        """(...) -> (..., H)"""
        angles = positions.unsqueeze(-1).float() * self.frequencies
        waves = torch.cat([angles.sin(), angles.cos()], dim=-1)
        return F.pad(waves, (0, self.embed_dim - waves.size(-1)))


def _frequencies(embed_dim: int) -> Tensor:
    half = embed_dim // 2
    places = torch.arange(half, dtype=torch.float, device="cpu")  # numbers, where all else of a skeleton is on meta
    return torch.exp(places * -(math.log(LONGEST_WAVE) / (half - 1)))


class Stack:
    """What encoder and decoder have beside their layers."""

    layers: Any
    embed_positions: Any

    def build(self, words: Any, embed_tokens: nn.Embedding, sizes: dict, longest: int, of_decoder: bool) -> None:
        """sizes: `embed_dim`, `ffn_dim`, `layers`, `heads` and `activation`, as the flags of T-CVAE."""
        embed_dim = sizes["embed_dim"]
        self.embed_tokens, self.padding_idx, self.longest = embed_tokens, words.pad(), longest
        self.embed_scale, self.embed_positions = math.sqrt(embed_dim), Positions(embed_dim, words.pad())
        self.dropout_module = Dropout()
        self.layers = nn.ModuleList(
            Layer(embed_dim, sizes["ffn_dim"], sizes["heads"], sizes["activation"], of_decoder)
            for _ in range(sizes["layers"])
        )

    def max_positions(self) -> int:
        """The longest text."""
        return self.longest


class TransformerEncoder(LatentReading, Stack, Encoder):
    """T-CVAE's."""

    def __init__(
        self, words: Any, embed_tokens: nn.Embedding, sizes: dict, longest: int, head: nn.Module, posterior_encoding: str,
        response_alone: bool,
    ):  # fmt: skip
        Encoder.__init__(self, words)
        self.build(words, embed_tokens, sizes, longest, of_decoder=False)
        self.latent, self.posterior_encoding, self.response_alone = head, posterior_encoding, response_alone


class TransformerDecoder(LatentDecoding, Stack, StepwiseDecoder):
    """T-CVAE's."""

    def __init__(
        self, words: Any, embed_tokens: nn.Embedding, sizes: dict, longest: int, fusion: LatentFusion, tied: bool,
        lexical_model: bool,
    ):  # fmt: skip
        StepwiseDecoder.__init__(self, words)
        self.build(words, embed_tokens, sizes, longest, of_decoder=True)
        self.fusion = fusion
        self.lexical = LexicalModel(sizes["embed_dim"], Dropout()) if lexical_model else None
        self.output_projection = nn.Linear(sizes["embed_dim"], len(words), bias=False)
        if tied:
            self.output_projection.weight = embed_tokens.weight

    def forward(
        self, prev_output_tokens: Tensor, encoder_out: dict[str, list[Tensor]], incremental_state: dict | None = None
    ) -> tuple[Tensor, dict]:
        """(B, T) and an encoder output with a latent -> logits (B, T, V), or (B, 1, V) step by step."""
        states = (
            self._whole(prev_output_tokens, encoder_out)
            if incremental_state is None
            else self._step(prev_output_tokens, encoder_out, incremental_state)
        )
        return self.output_projection(self.hidden(states, encoder_out)), {}

    def _whole(self, tokens: Tensor, encoder_out: dict[str, list[Tensor]]) -> Tensor:
        """(B, T) -> (B, T, H)"""
        packing, context = Packing(tokens.ne(self.padding_idx)), Packing(~encoder_out["encoder_padding_mask"][0])
        read = PackedStates(context.pack(encoder_out["encoder_out"][0].transpose(0, 1)), context)
        return packing.pad(self.states(tokens, packing, read))

    def _step(self, tokens: Tensor, encoder_out: dict[str, list[Tensor]], incremental_state: dict) -> Tensor:
        """(B, t) -> the states (B, 1, H) of the newest token."""
        cached = self.get_incremental_state(incremental_state, "layers")
        if cached is None:
            context = encoder_out["encoder_out"][0].transpose(0, 1)
            attentions = [layer.encoder_attn for layer in self.layers]
            cached = [([], [each.split(each.k_proj(context)), each.split(each.v_proj(context))]) for each in attentions]
        hidden = ~encoder_out["encoder_padding_mask"][0][:, None, None]
        place = torch.tensor(self.padding_idx + tokens.size(1), device=tokens.device)
        states = self.embed_scale * self.embed_tokens(tokens[:, -1:]) + self.embed_positions.at(place)
        kept = []
        for layer, (past, of_context) in zip(self.layers, cached, strict=True):
            states, past = layer.step(states, past, of_context, hidden)
            kept.append((past, of_context))
        self.set_incremental_state(incremental_state, "layers", kept)
        return states

    def reorder_incremental_state(self, incremental_state: dict, new_order: Tensor) -> None:
        """For beams."""
        cached = self.get_incremental_state(incremental_state, "layers")
        if cached is not None:
            rows = [tuple([each.index_select(0, new_order) for each in part] for part in pair) for pair in cached]
            self.set_incremental_state(incremental_state, "layers", rows)
