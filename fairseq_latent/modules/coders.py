"""Encoders and decoders as torch alone has them.

`models.latent_model.fairseq_form` gives them the form in which fairseq's programs know them; `portable` takes them as they
are.
"""

from typing import Any

from torch import Tensor, nn


class Encoder(nn.Module):
    """Its `forward` gives lists of tensors by name, the first dimension of each the batch's."""

    def __init__(self, dictionary: Any):
        nn.Module.__init__(self)  # this one alone: fairseq's form has a second parent
        self.dictionary = dictionary


class StepwiseDecoder(nn.Module):
    """Decodes a whole text at once, or token by token; what it remembers of earlier steps is in the caller's dictionary."""

    def __init__(self, dictionary: Any):
        nn.Module.__init__(self)
        self.dictionary = dictionary

    def get_incremental_state(self, incremental_state: dict | None, key: str) -> Any:
        """What was set under this key; None before the first step."""
        return None if incremental_state is None else incremental_state.get(key)

    def set_incremental_state(self, incremental_state: dict | None, key: str, value: Any) -> dict | None:
        """Remember it for the next step."""
        if incremental_state is not None:
            incremental_state[key] = value
        return incremental_state

    def reorder_incremental_state(self, incremental_state: dict, new_order: Tensor) -> None:
        """For beams: what is remembered of hypothesis `new_order[i]` becomes that of hypothesis i."""
