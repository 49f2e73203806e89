"""Networks that look both ways over tokens, with slots for latents before them: layers of their own, or a language model's.

The states at the slots are those of the last layer, as they are: with norms before sublayers nothing norms them, so that a
slot can hold any vector, a constant one too.
"""

import copy
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import InputError
from ..activations import ACTIVATIONS
from ..language_models.body import blocks_of, position_table
from ..language_models.packed_attention import packed_states, use_packed_attention


class Read(Protocol):
    """Tokens (B, S) as a network takes them: see `persona.Tokens`."""

    vectors: Tensor
    positions: Tensor
    mask: Tensor


class LatentReader(nn.Module):
    """Transformer layers with random weights, N(0, 0.02)."""

    def __init__(
        self, embed_dim: int, layers: int, heads: int, ffn_dim: int, activation: str, norm: str, dropout: float
    ):
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            embed_dim, heads, ffn_dim, dropout, ACTIVATIONS[activation], batch_first=True, norm_first=norm == "pre"
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        for parameter in self.layers.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)
        self.dropout = dropout

    def forward(self, slots: Tensor, tokens: Read, position_vectors) -> Tensor:
        """Slots (B, L, D), which have no position -> (B, L, D). position_vectors: (B, S) -> (B, S, D)."""
        count = slots.size(1)
        inputs = torch.cat([slots, tokens.vectors + position_vectors(tokens.positions)], dim=1)
        hidden = F.pad(~tokens.mask, (count, 0))
        states = self.layers(F.dropout(inputs, self.dropout, self.training), src_key_padding_mask=hidden)
        return states[:, :count]


class BlocksReader(nn.Module):
    """The first blocks of a language model, copied, without its causal mask; its positions are the language model's own."""

    def __init__(self, model: nn.Module, layers: int, dropout: float):
        super().__init__()
        self.model = copy.deepcopy(model)
        config, blocks = self.model.config, blocks_of(self.model)
        del blocks[layers:]
        config.num_hidden_layers = layers
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:layers]
        _share_positions(self.model, model)
        for module in self.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = dropout
            if isinstance(getattr(module, "attention_dropout", None), float):
                module.attention_dropout = dropout
        use_packed_attention(self.model)
        self._last: Tensor | None = None  # (1, N, D), what leaves the last block
        blocks[-1].register_forward_hook(self._keep)

    def forward(self, slots: Tensor, tokens: Read, position_vectors) -> Tensor:
        """Slots (B, L, D) -> (B, L, D); the model itself knows positions."""
        count, table = slots.size(1), position_table(self.model)
        positions, places = tokens.positions, tokens.positions.new_zeros(len(slots), count)
        if table is None:
            positions, places = positions + count, places + torch.arange(count, device=places.device)
        else:
            slots = slots - table.weight[getattr(table, "offset", 0)]
        inputs = torch.cat([slots, tokens.vectors], dim=1)
        packings = []
        packed_states(
            self.model, inputs, torch.cat([places, positions], dim=1), F.pad(tokens.mask, (count, 0), value=True),
            causal=False, watch=packings.append,
        )  # fmt: skip
        lengths = packings[0].mask.sum(1)
        rows = (lengths.cumsum(0) - lengths)[:, None] + torch.arange(count, device=lengths.device)
        states, self._last = self._last[0][rows], None
        return states

    def _keep(self, block: nn.Module, inputs: tuple, output) -> None:
        self._last = output[0] if isinstance(output, tuple) else output


def _share_positions(copied: nn.Module, model: nn.Module) -> None:
    """One position table for both."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding):
            parent, _, last = name.rpartition(".")
            setattr(copied.get_submodule(parent), last, module)


def copy_blocks(reader: LatentReader, gpt2: nn.Module) -> None:
    """Start a reader's layers as GPT-2's first blocks; InputError where their shapes differ."""
    for layer, block in zip(reader.layers.layers, gpt2.h[: len(reader.layers.layers)], strict=True):
        attention, theirs, mlp = layer.self_attn, block.attn, block.mlp  # GPT-2's matrices stand the other way round
        pairs = [
            (attention.in_proj_weight, theirs.c_attn.weight.T), (attention.in_proj_bias, theirs.c_attn.bias),
            (attention.out_proj.weight, theirs.c_proj.weight.T), (attention.out_proj.bias, theirs.c_proj.bias),
            (layer.linear1.weight, mlp.c_fc.weight.T), (layer.linear1.bias, mlp.c_fc.bias),
            (layer.linear2.weight, mlp.c_proj.weight.T), (layer.linear2.bias, mlp.c_proj.bias),
            (layer.norm1.weight, block.ln_1.weight), (layer.norm1.bias, block.ln_1.bias),
            (layer.norm2.weight, block.ln_2.weight), (layer.norm2.bias, block.ln_2.bias),
        ]  # fmt: skip
        with torch.no_grad():
            for ours, given in pairs:
                if ours.shape != given.shape:
                    raise InputError(
                        f"--latent-encoder-init gpt2: a layer has {tuple(ours.shape)} where GPT-2 has {tuple(given.shape)}; "
                        "remedy: --latent-encoder-ffn-dim of 4 * --embed-dim"
                    )
                ours.copy_(given)
