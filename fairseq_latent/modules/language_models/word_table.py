"""A model's words: vectors in, logits out, of which all rows, or those of a few symbols alone, are trained."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NEW_ROW_SPREAD = 1e-5  # of the covariance of the rows that are there


class WordTable(nn.Embedding):
    """A table (V, D) of N(0, 0.02), tied to the output, or with `untied` an output table of its own.

    With `trained` rows only these have a gradient, and a state in the optimiser; checkpoints hold whole tables either way.
    """

    def __init__(self, count: int, embed_dim: int, trained: Sequence[int] | None = None, untied: bool = False):
        super().__init__(count, embed_dim)
        nn.init.normal_(self.weight, std=0.02)
        self.output = nn.Parameter(self.weight.detach().clone()) if untied else None
        self.trained = self.trained_output = None
        if trained is not None:
            self.register_buffer("rows", torch.tensor(trained, dtype=torch.long), persistent=False)
            place = torch.full((count,), -1)
            place[self.rows] = torch.arange(len(trained))
            self.register_buffer("place", place, persistent=False)
            self.weight.requires_grad_(False)
            self.trained = nn.Parameter(self.weight[self.rows])
            if untied:
                self.output.requires_grad_(False)
                self.trained_output = nn.Parameter(self.output[self.rows])

    def forward(self, tokens: Tensor) -> Tensor:
        """(...) -> (..., D)"""
        vectors = F.embedding(tokens, self.weight)
        if self.trained is None:
            return vectors
        place = self.place[tokens]
        return torch.where(place.ge(0).unsqueeze(-1), F.embedding(place.clamp(min=0), self.trained), vectors)

    def project(self, states: Tensor) -> Tensor:
        """(..., D) -> logits (..., V)"""
        logits = F.linear(states, self.weight if self.output is None else self.output)
        if self.trained is None:
            return logits
        rows = self.trained if self.trained_output is None else self.trained_output
        return logits.index_copy_(-1, self.rows, F.linear(states, rows).to(logits.dtype))

    def whole(self) -> Tensor:
        """The input table (V, D), without gradient."""
        return self._whole(self.weight, self.trained)

    def whole_output(self) -> Tensor:
        """The output table (V, D), without gradient."""
        return self.whole() if self.output is None else self._whole(self.output, self.trained_output)

    def _whole(self, table: Tensor, trained: Tensor | None) -> Tensor:
        table = table.detach()
        return table if trained is None else table.index_copy(0, self.rows, trained.detach().to(table))

    @torch.no_grad()
    def fill(self, table: Tensor, output: Tensor | None = None) -> None:
        """Copy whole tables (V, D) to what is trained and what is not."""
        for mine, rows, given in ((self.weight, self.trained, table), (self.output, self.trained_output, output)):
            if given is not None and mine is not None:
                mine.copy_(given)
                if rows is not None:
                    rows.copy_(given[self.rows])

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name, rows in (("trained", "weight"), ("trained_output", "output")):
            if destination.pop(f"{prefix}{name}", None) is not None:
                destination[f"{prefix}{rows}"] = self._whole(getattr(self, rows), getattr(self, name))

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict, missing, unexpected, errors):
        for name, rows in (("trained", "weight"), ("trained_output", "output")):
            table = state_dict.get(f"{prefix}{rows}")
            if getattr(self, name) is not None and table is not None and len(table) == self.num_embeddings:
                state_dict = {**state_dict, f"{prefix}{name}": table[self.rows.to(table.device)]}
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing, unexpected, errors)


def rows_for(
    symbols: Sequence[str],
    table: Tensor,
    rows: Mapping[str, int] | None = None,
    copies: Mapping[str, int] | None = None,
) -> tuple[Tensor, list[str]]:
    """A table (len(symbols), D) of rows of the language model's `table` (V, D), and the symbols that it lacks.

    `rows` says where symbols stand; the others are the language model's ids ("15496"), where there are rows that `rows` does
    not name. Symbols that it lacks are copies of the row that `copies` names, or samples of N(mean row, 1e-5 * covariance of
    the rows), as the authors' code of Cho et al. (2022) does.
    """
    rows, copies = rows or {}, copies or {}
    ids = range(len(table) - len(rows))
    places = [rows.get(symbol, int(symbol) if symbol.isdecimal() and int(symbol) in ids else -1) for symbol in symbols]
    known = [place for place, row in enumerate(places) if 0 <= row < len(table)]
    new = sorted(set(range(len(places))) - set(known))
    mean = table.mean(0)
    spread = (NEW_ROW_SPREAD / max(1, len(table) - 1)) ** 0.5
    filled = table.new_empty(len(symbols), table.size(1))
    filled[known] = table[[places[place] for place in known]]
    filled[new] = mean + spread * torch.randn(len(new), len(table)) @ (table - mean)
    for place in new:
        if symbols[place] in copies:
            filled[place] = table[copies[symbols[place]]]
    return filled, [symbols[place] for place in new]
