"""fairseq's Transformer layers over real tokens alone: (N, H) in place of (B, T, H), so that pads cost no matrix product.

Conversations have responses of all lengths to contexts of one length: a third of a padded batch is pads, often more. Only
the attention itself, between the tokens of one sequence, is padded here. Parameters and results are those of fairseq's
own `forward`.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..losses import real_places

ROUNDED = 128  # rows, where every new number of rows costs the time to compile a kernel


class Packing:
    """Where the real tokens of a batch (B, T) stand; packed tensors (N, ...) hold them sentence by sentence.

    count: how many they are, if the caller knows; else a GPU is waited for.
    Under autocast on a CPU, whose library compiles and keeps a kernel for every shape it meets, some rows that nobody reads
    make N a round number.
    """

    def __init__(self, mask: Tensor, count: int | None = None):
        self.mask = mask  # (B, T), true for real tokens
        self.tokens = real_places(mask, count)
        rounded = ROUNDED if mask.device.type == "cpu" and torch.is_autocast_enabled("cpu") else 1
        self.rows = F.pad(self.tokens, (0, -len(self.tokens) % rounded))  # (N,)

    def __len__(self) -> int:
        return self.rows.size(0)

    def pack(self, padded: Tensor) -> Tensor:
        """(B, T, ...) -> (N, ...)"""
        return padded.flatten(0, 1).index_select(0, self.rows)

    def real(self, packed: Tensor) -> Tensor:
        """(N, ...) -> those of the tokens."""
        return packed[: len(self.tokens)]

    def words(self, tokens: Tensor) -> Tensor:
        """(B, T) -> the real ones, without rows that make their number round."""
        return tokens.flatten().index_select(0, self.tokens)

    @property
    def sentences(self) -> Tensor:
        """(N,): the sentence of each row."""
        return self.rows // max(1, self.mask.size(1))

    def pad(self, packed: Tensor, value: float = 0.0) -> Tensor:
        """(N, ...) -> (B, T, ...)"""
        padded = packed.new_full((self.mask.numel(), *packed.shape[1:]), value)
        return padded.index_copy(0, self.tokens, self.real(packed)).unflatten(0, self.mask.shape)

    @cached_property
    def keys(self) -> Tensor:
        """(B, 1, 1, T): what a query may attend to."""
        return self.mask[:, None, None]

    @cached_property
    def past(self) -> Tensor:
        """(B, 1, T, T): what a decoder's position may attend to."""
        return (
            self.keys
            & torch.ones(self.mask.size(1), self.mask.size(1), dtype=torch.bool, device=self.mask.device).tril()
        )


def packings(*masks: Tensor) -> list[Packing]:
    """Of several batches; a GPU is waited for once."""
    counts = torch.stack([mask.sum() for mask in masks]).tolist()
    return [Packing(mask, count) for mask, count in zip(masks, counts, strict=True)]


@dataclass(frozen=True)
class PackedStates:
    """Encoder states (N, H) of a batch's real tokens."""

    states: Tensor
    packing: Packing

    def padded(self) -> Tensor:
        """(B, T, H), pads are zero."""
        return self.packing.pad(self.states)


def embed(stack, tokens: Tensor, packing: Packing) -> Tensor:
    """Tokens (B, T) -> (N, H), as `stack`, a fairseq encoder or decoder, embeds them."""
    words = stack.embed_scale * stack.embed_tokens(packing.pack(tokens))
    return stack.dropout_module(words + packing.pack(stack.embed_positions(tokens)))


def encoder_layer(layer: nn.Module, states: Tensor, packings: list[Packing]) -> Tensor:
    """(N, H) -> (N, H); `states` holds the tokens of several batches one after the other, which don't see each other."""
    attention = layer.self_attn
    query, key, value = (project(states) for project in (attention.q_proj, attention.k_proj, attention.v_proj))
    sizes = [len(packing) for packing in packings]
    parts = zip(query.split(sizes), key.split(sizes), value.split(sizes), packings, strict=True)
    attended = torch.cat([attend(attention, *part, part[-1], part[-1].keys) for part in parts])
    states = layer.self_attn_layer_norm(states + layer.dropout_module(attention.out_proj(attended)))
    return _feed_forward(layer, states)


def decoder_layer(layer: nn.Module, states: Tensor, packing: Packing, context: PackedStates) -> Tensor:
    """(N, H) -> (N, H)"""
    attention = layer.self_attn
    query, key, value = (project(states) for project in (attention.q_proj, attention.k_proj, attention.v_proj))
    attended = attention.out_proj(attend(attention, query, key, value, packing, packing, packing.past))
    states = layer.self_attn_layer_norm(states + layer.dropout_module(attended))
    attention = layer.encoder_attn
    query, key, value = attention.q_proj(states), attention.k_proj(context.states), attention.v_proj(context.states)
    attended = attention.out_proj(attend(attention, query, key, value, packing, context.packing, context.packing.keys))
    states = layer.encoder_attn_layer_norm(states + layer.dropout_module(attended))
    return _feed_forward(layer, states)


def attend(
    attention: nn.Module, query: Tensor, key: Tensor, value: Tensor, queries: Packing, keys: Packing, mask: Tensor
) -> Tensor:
    """(N, H), (M, H), (M, H) -> (N, H)"""
    heads, module = attention.num_heads, attention.dropout_module
    dropout = module.p if module.training or module.apply_during_inference else 0.0  # --retain-dropout
    query, key, value = (
        packing.pad(states).unflatten(-1, (heads, -1)).transpose(1, 2)  # (B, heads, T, H / heads)
        for packing, states in ((queries, query), (keys, key), (keys, value))
    )
    if query.device.type == "cpu" and torch.is_autocast_enabled("cpu"):  # as many shapes as batches, see `Packing`
        with torch.autocast("cpu", enabled=False):
            attended = F.scaled_dot_product_attention(query.float(), key.float(), value.float(), mask, dropout)
    else:
        attended = F.scaled_dot_product_attention(query, key, value, mask, dropout)
    return queries.pack(attended.transpose(1, 2).flatten(2))


def _feed_forward(layer: nn.Module, states: Tensor) -> Tensor:
    """(N, H) -> (N, H)"""
    hidden = layer.activation_dropout_module(layer.activation_fn(layer.fc1(states)))
    return layer.final_layer_norm(states + layer.dropout_module(layer.fc2(hidden)))
