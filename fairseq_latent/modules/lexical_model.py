"""The context's words themselves in the output: a lexical model (Nguyen and Chiang, 2018, https://arxiv.org/abs/1710.01329)."""

import torch.nn.functional as F
from torch import Tensor, nn

from .latents.head import bias_free
from .packed import PackedStates, Packing, attend


class LexicalModel(nn.Module):
    """Attention over the embeddings of the context's words, mapped and added to the states that meet the output projection.

    Where that projection is tied to the embeddings, the map starts as the identity: what is attended to becomes likelier,
    and what has a similar embedding. The paper adds logits of a table of its own, after tanh.
    """

    num_heads = 1  # asked by `attend`, as is `dropout_module`

    def __init__(self, embed_dim: int, dropout: nn.Module):
        super().__init__()
        self.query, self.key, self.word = (bias_free(embed_dim, embed_dim) for _ in range(3))
        self.dropout_module = dropout
        for linear in (self.query, self.key):
            nn.init.xavier_uniform_(linear.weight)
        nn.init.zeros_(self.word.weight).data.fill_diagonal_(1)  # eye_ on the meta device loads torch's compiler

    def forward(self, states: Tensor, context: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """Decoder states (B, T, H), context states and word embeddings (B, S, H), real tokens (B, S) -> (B, T, H)"""
        return self.word(F.scaled_dot_product_attention(self.query(states), self.key(context), words, mask[:, None]))

    def packed(self, states: Tensor, packing: Packing, context: PackedStates, words: Tensor) -> Tensor:
        """(N, H), and the context's states and words (M, H) -> (N, H)"""
        query, key = self.query(states), self.key(context.states)
        return self.word(attend(self, query, key, words, packing, context.packing, context.packing.keys))
