"""`transformers`' decoders over real tokens alone: linear layers see (1, N, D), only attention sees sentences.

The library calls whichever attention function its configuration names and, for a name without masks of its own, hands over
the mask that it was given, or none. So one function serves every family: it learns from `packed_states` where the sentences
of a packed batch end.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_latent.errors import InputError

from ..packed import Packing

NAME = "fairseq_latent_packed"
UNSUPPORTED = ("softcap", "s_aux", "position_bias")  # what changes the scores or the softmax in some families


@dataclass(frozen=True)
class Sentences:
    """A packed batch: where its sentences lie when each begins at column 0, and whether a token sees what follows it.

    branches (B, T): which of several continuations of one text per token belongs to, 0: the text itself, which all see.
    """

    packing: Packing
    causal: bool
    branches: Tensor | None = None

    @cached_property
    def mask(self) -> Tensor | None:
        """What a query may attend to; pads follow the sentences, so that causal attention never meets them."""
        if self.branches is None:
            return None if self.causal else self.packing.keys
        of_key, of_query = self.branches[:, None, None, :], self.branches[:, None, :, None]
        return self.packing.past & (of_key.eq(0) | of_key.eq(of_query)) | self._itself

    @property
    def _itself(self) -> Tensor:
        """(T, T): a pad sees itself, as a query that sees nothing has no softmax."""
        return torch.eye(self.packing.mask.size(1), dtype=torch.bool, device=self.packing.mask.device)


@dataclass(frozen=True)
class Layout:
    """Where real tokens stand in a batch (B, S), pads wherever, and in the one whose sentences begin at column 0."""

    here: Packing
    there: Packing

    @classmethod
    def of(cls, mask: Tensor) -> "Layout":
        """mask (B, S): false at pads. A GPU is waited for once."""
        lengths = mask.sum(1, keepdim=True)
        count, longest = torch.stack([lengths.sum(), lengths.max()]).tolist()
        return cls(Packing(mask, count), Packing(torch.arange(longest, device=mask.device) < lengths, count))


_current: ContextVar[Sentences | None] = ContextVar("sentences", default=None)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options,
) -> tuple[Tensor, None]:
    """(B, H, Q, d), (B, H / groups, K, d) twice -> (B, Q, H, d); a packed batch is one sentence of N tokens to the caller.

    InputError for families whose attention has more to it than a mask and a scale.
    """
    for name in UNSUPPORTED:
        if options.get(name) is not None:
            raise InputError(f"{type(module).__name__} with {name} is not supported; remedy: another language model")
    sentences = _current.get()
    if sentences is not None:
        packing = sentences.packing
        query, key, value = (packing.pad(part[0].transpose(0, 1)).transpose(1, 2) for part in (query, key, value))
        attention_mask = sentences.mask
    if (groups := query.size(1) // key.size(1)) > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    causal = sentences is not None and sentences.causal and attention_mask is None
    if query.device.type == "cpu" and torch.is_autocast_enabled("cpu"):  # as many shapes as batches, see `Packing`
        with torch.autocast("cpu", enabled=False):
            parts = query.float(), key.float(), value.float()
            attended = F.scaled_dot_product_attention(*parts, attention_mask, dropout, causal, scale=scaling)
    else:
        attended = F.scaled_dot_product_attention(query, key, value, attention_mask, dropout, causal, scale=scaling)
    attended = attended.transpose(1, 2)
    return (attended if sentences is None else sentences.packing.pack(attended).unsqueeze(0)), None


def use_packed_attention(model: nn.Module) -> None:
    """Let a model of `transformers` attend by `attend`."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    model.config._attn_implementation = NAME


def packed_states(
    model: nn.Module,
    inputs: Tensor,
    positions: Tensor,
    mask: Tensor | Layout,
    causal: bool = True,
    watch: Callable[[Packing], None] | None = None,
    branches: Tensor | None = None,
) -> Tensor:
    """Vectors (B, S, D) at positions (B, S), mask (B, S) false at pads, or its layout -> states (B, S, D), 0 at pads.

    `watch` is called with the packing before the model runs. With branches (B, S) a row holds several continuations of one
    text, one after the other: a token of branch n > 0 sees the text, branch 0, and what its own branch has before it.
    """
    layout = mask if isinstance(mask, Layout) else Layout.of(mask)
    here, there = layout.here, layout.there
    if watch is not None:
        watch(there)
    if branches is not None:
        branches = there.pad(here.pack(branches))
    token = _current.set(Sentences(there, causal, branches))
    try:
        states = model(
            inputs_embeds=here.pack(inputs).unsqueeze(0),
            position_ids=here.pack(positions).unsqueeze(0),
            use_cache=False,
        ).last_hidden_state
    finally:
        _current.reset(token)
    return here.pad(states[0])


def causal_mask(mask: Tensor, queries: int) -> Tensor:
    """(B, K), false at pads -> (B, 1, Q, K): what the last Q tokens may attend to; themselves in any case, pads too.

    A query that may attend to nothing would have no softmax, and its NaN would reach all that follow.
    """
    keys = mask.size(1)
    place = torch.arange(keys, device=mask.device)
    own = place[keys - queries :, None]
    return ((place <= own) & mask[:, None, :] | (place == own)).unsqueeze(1)
