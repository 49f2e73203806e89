"""The body of a persona model: any decoder-only language model of `transformers`, over given vectors and latents among them.

The word table stays outside. Latents are vectors before the first token, or after it (`after_bos`), whose states are mixed
with the vectors themselves after some blocks (Cho et al., 2022, Fig. 4).
"""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fairseq_latent.errors import InputError

from .packed_attention import Layout, causal_mask, packed_states, use_packed_attention

LONGEST_NUMBER = 9  # digits of a block


class LanguageModelBody(nn.Module):
    """A base model of `transformers` (GPT2Model, LlamaModel, ...) without its word table: vectors in, states out.

    After the blocks `points` (from 1) the states at the latents become (1 - weight) * state + weight * latent, where the
    latent is as it entered (`scale="raw"`, the paper), or as long as the state that it meets (`"state"`). With
    `train_blocks` N > 0 only the top N blocks are trained: what is below has no gradient and keeps no activations, and a
    latent's gradient comes from the points at and above the lowest of them.
    """

    def __init__(
        self,
        model: nn.Module,
        num_latents: int = 0,
        points: Sequence[int] = (),
        weight: float = 0.5,
        at: str = "start",
        scale: str = "raw",
        train_blocks: int = 0,
    ):
        super().__init__()
        self.model, self.num_latents, self.weight = model, num_latents, weight
        self.at, self.scale = at, scale
        use_packed_attention(model)
        blocks = blocks_of(model)
        self.frozen = len(blocks) - train_blocks if train_blocks else 0
        self.freeze()
        self._latents: Tensor | None = None  # (B, L, D), while they pass
        self._places: Tensor | None = None  # (B, L), where they stand among the packed tokens
        for point in points:
            blocks[point - 1].register_forward_hook(self._mixer(point))

    def freeze(self) -> None:
        """Leave the blocks below the trained ones, and a position table, without gradients."""
        if not self.frozen:
            return
        for block in blocks_of(self.model)[: self.frozen]:
            block.requires_grad_(False)
        if self.positions is not None:
            self.positions.requires_grad_(False)

    @property
    def positions(self) -> nn.Embedding | None:
        """The position table (P, D), where there is one."""
        return position_table(self.model)

    @property
    def offset(self) -> int:
        """The row of its first position."""
        return getattr(self.positions, "offset", 0)

    def new_cache(self):
        """Keys and values of what was read, none yet."""
        from transformers import DynamicCache

        return DynamicCache(config=self.model.config)

    def forward(
        self,
        latents: Tensor,
        vectors: Tensor,
        positions: Tensor,
        mask: Tensor,
        cache=None,
        branches: Tensor | None = None,
        layout: Layout | None = None,
    ) -> Tensor:
        """Latents (B, L, D), vectors (B, S, D) at positions (B, S) that leave latents out -> the vectors' states (B, S, D).

        mask (B, L + S): false at pads, true at the latents, where they stand. With a cache, it also covers what was read
        before, and the latents, L = 0 but the first time, are not read again: the cache holds them as they were mixed.
        branches (B, L + S): several continuations in one row, see `packed_states`. layout: that of the mask, if it is known.
        """
        count = latents.size(1)
        first = 1 if self.at == "after_bos" and count else 0
        table = self.positions
        if table is None:  # rotations: latents take positions as tokens do
            places = torch.arange(first, first + count, device=positions.device).expand(len(positions), -1)
            positions = positions + self.num_latents * positions.ge(1 if self.at == "after_bos" else 0)
        else:  # the body adds a position to everything; at the latents it has to be the zero vector
            places = positions.new_zeros(positions.size(0), count)
            latents_in = latents - table.weight[self.offset]
        inputs = _among(vectors, latents if table is None else latents_in, first)
        positions = _among(positions, places, first)
        if self.frozen:
            inputs = inputs.detach()
        self._latents = latents if count else None
        try:
            states = self._run(inputs, positions, mask, cache, first, branches, layout)
        finally:
            self._latents = self._places = None
        return torch.cat([states[:, :first], states[:, first + count :]], dim=1) if count else states

    def _run(
        self,
        inputs: Tensor,
        positions: Tensor,
        mask: Tensor,
        cache,
        first: int,
        branches: Tensor | None,
        layout: Layout | None,
    ) -> Tensor:
        if cache is None:
            watch = functools.partial(self._find, first=first)
            return packed_states(self.model, inputs, positions, layout or mask, watch=watch, branches=branches)
        width = inputs.size(1)
        if self._latents is not None:
            columns = torch.arange(first, first + self._latents.size(1), device=inputs.device)
            self._places = torch.arange(len(inputs), device=inputs.device)[:, None] * width + columns
        return self.model(
            inputs_embeds=inputs, position_ids=positions, attention_mask=causal_mask(mask, width), past_key_values=cache,
            use_cache=True,
        ).last_hidden_state  # fmt: skip

    def _find(self, packing, first: int) -> None:
        """Where the latents stand among packed tokens: sentences have no pads before them."""
        if self._latents is None:
            return
        lengths = packing.mask.sum(1)
        columns = torch.arange(first, first + self._latents.size(1), device=lengths.device)
        self._places = (lengths.cumsum(0) - lengths)[:, None] + columns

    def _mixer(self, point: int):
        """The hook of the block `point`, from 1."""

        def mix(block: nn.Module, inputs: tuple, output):
            if self._latents is None or not self.weight:
                return None
            states = output[0] if isinstance(output, tuple) else output
            rows, places = states.flatten(0, 1), self._places.flatten()
            here = rows.index_select(0, places)
            latents = self._latents.flatten(0, 1).to(states.dtype)
            if point < self.frozen:
                latents = latents.detach()
            if self.scale == "state":
                lengths = [each.detach().norm(dim=-1, keepdim=True) for each in (here, latents)]
                latents = latents * (lengths[0] / lengths[1].clamp(min=1e-6))
            mixed = (1 - self.weight) * here + self.weight * latents
            states = rows.index_copy(0, places, mixed.to(states.dtype)).view_as(states)
            return (states, *output[1:]) if isinstance(output, tuple) else states

        return mix


def _among(tokens: Tensor, latents: Tensor, first: int) -> Tensor:
    """(B, S, ...), (B, L, ...) -> (B, L + S, ...)"""
    return torch.cat([tokens[:, :first], latents, tokens[:, first:]], dim=1) if latents.size(1) else tokens


def blocks_of(model: nn.Module) -> nn.ModuleList:
    """A body's blocks, whatever their family calls them."""
    count = model.config.num_hidden_layers
    return next(each for each in model.modules() if isinstance(each, nn.ModuleList) and len(each) == count)


def position_table(model: nn.Module) -> nn.Embedding | None:
    """The table of learned positions of a base model without words, where it has one."""
    tables = [each for each in model.modules() if isinstance(each, nn.Embedding)]
    return tables[0] if tables else None


def injection_points(text: str, layers: int) -> list[int]:
    """`auto`, `every-4`, `none` or `5,11,17,23` -> blocks, from 1."""
    if text == "auto":
        return sorted({max(1, quarter * layers // 4 - 1) for quarter in (1, 2, 3, 4)})
    if text == "none":
        return []
    name, _, step = text.partition("-")
    numbers = "".join(char if char.isdecimal() else " " for char in text).split()
    if any(len(number) > LONGEST_NUMBER for number in numbers):
        raise InputError(f"--inject-after: no model has so many blocks; remedy: numbers from 1 to {layers}")
    if name == "every" and step.isdecimal() and int(step):
        if points := list(range(int(step), layers, int(step))):  # after the last block nobody reads the latents
            return points
        raise InputError(f"--inject-after {text}: of {layers} blocks that is none; remedy: every-1, or none")
    points = text.split(",")
    if not all(point.isdecimal() and 1 <= int(point) <= layers for point in points):
        raise InputError(
            f"--inject-after {text}: blocks are 1 to {layers}; remedy: auto, every-4, none, or e.g. {layers // 2},{layers}"
        )
    return sorted({int(point) for point in points})
