"""The tokens of an exported model, in the order of their ids: what fairseq's dictionary says of them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..symbols import BOS, EOS, PAD, RESERVED, UNK


class Words:
    """symbols: the four special ones first, `<s> <pad> </s> <unk>`."""

    def __init__(self, symbols: Sequence[str]):
        self.symbols = list(symbols)
        self._places = {symbol: place for place, symbol in reversed(list(enumerate(self.symbols)))}

    def __len__(self) -> int:
        return len(self.symbols)

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._places

    def __getitem__(self, place: int) -> str:
        return self.symbols[place]

    def index(self, symbol: str) -> int:
        """Its id, or that of <unk>."""
        return self._places.get(symbol, self.unk())

    def bos(self) -> int:
        """Id of <s>."""
        return RESERVED.index(BOS)

    def pad(self) -> int:
        """Id of <pad>."""
        return RESERVED.index(PAD)

    def eos(self) -> int:
        """Id of </s>."""
        return RESERVED.index(EOS)

    def unk(self) -> int:
        """Id of <unk>."""
        return RESERVED.index(UNK)

    def encode(self, line: str) -> Tensor:
        """Tokens between spaces -> ids (S,), the end of sentence the last."""
        return torch.tensor([*(self.index(token) for token in line.split()), self.eos()])

    def string(self, tokens: Tensor) -> str:
        """Ids (S,) -> tokens between spaces, without beginning and end."""
        return " ".join(self[token] for token in tokens.tolist() if token not in (self.bos(), self.eos()))
