"""The bag-of-words head (Zhao et al., 2017): predicts the response's words from the latent alone."""

from torch import Tensor, nn


class BagOfWordsHead(nn.Sequential):
    """Z -> V: one linear map (Sato et al., 2021), or with `hidden_dim` an MLP with tanh (Zhao et al., 2017)."""

    def __init__(self, latent_dim: int, vocabulary: int, hidden_dim: int = 0):
        layers = [nn.Linear(latent_dim, hidden_dim), nn.Tanh()] if hidden_dim else []
        super().__init__(*layers, nn.Linear(hidden_dim or latent_dim, vocabulary))

    def forward(self, z: Tensor) -> Tensor:
        """(B, Z), of any precision -> (B, V)"""
        return super().forward(z.to(next(self.parameters()).dtype))


def fit_bow_head(head: BagOfWordsHead | None, state: dict[str, Tensor], prefix: str) -> BagOfWordsHead | None:
    """The head that a checkpoint's `state` asks for.

    The criterion adds the head to a model in training; a checkpoint that has one brings it to a model built without, and
    one that lacks it (training goes on with a new loss) leaves the new head as it was initialised.
    """
    stored = {name: value for name, value in state.items() if name.startswith(prefix)}
    if stored and head is None:
        first, last = stored[f"{prefix}0.weight"], stored.get(f"{prefix}2.weight")
        vocabulary, hidden_dim = (first.size(0), 0) if last is None else (last.size(0), first.size(0))
        return BagOfWordsHead(first.size(1), vocabulary, hidden_dim)
    if head is not None and not stored:
        state.update({prefix + name: value for name, value in head.state_dict().items()})
    return head
