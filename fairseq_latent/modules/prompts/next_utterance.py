"""The head of P²BOT's transmitter that knows the next utterance (Liu et al., 2020)."""

from torch import Tensor, nn


class NextUtteranceHead(nn.Module):
    """A state (..., D) at the end of a reply -> the log odds (...) that it is the next utterance.

    Dropout and a linear map to two logits, "it is not" and "it is", of N(0, 0.02) without bias: their difference.
    """

    def __init__(self, embed_dim: int, dropout: float):
        super().__init__()
        self.dropout, self.score = nn.Dropout(dropout), nn.Linear(embed_dim, 2, bias=False)
        nn.init.normal_(self.score.weight, std=0.02)

    def logits(self, states: Tensor) -> Tensor:
        """(..., D) -> (..., 2)"""
        return self.score(self.dropout(states))

    def forward(self, states: Tensor) -> Tensor:
        """(..., D) -> (...)"""
        no, yes = self.logits(states).unbind(-1)
        return yes - no
