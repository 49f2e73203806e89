"""The encoder of language models that answer a prompt without a latent."""

from torch import Tensor

from fairseq_latent.gaussian import DiagonalGaussian

from ..coders import Encoder
from ..language_models.word_table import WordTable
from .embedding import PromptEmbedding


class PromptEncoder(Encoder):
    """Hands the prompt to the decoder, which reads it together with the reply; there is no latent to infer."""

    def __init__(self, dictionary, embedding: PromptEmbedding, longest: int):
        super().__init__(dictionary)
        self.embedding, self.longest = embedding, longest

    @property
    def embed_tokens(self) -> WordTable:
        """The word table."""
        return self.embedding.embed_tokens

    def forward(
        self,
        src_tokens: Tensor,
        src_lengths: Tensor | None = None,
        noise_seed: Tensor | None = None,
        num_latents: int = 1,
        latent_mean: bool = False,
        prompt: Tensor | None = None,
        prompt_types: Tensor | None = None,
    ) -> dict[str, list[Tensor]]:
        """Contexts (B, S) and, of models that read more, prompts (B, L) with token types (B, L).

        With num_latents = N every example stands N times in a row, and gets N replies.
        """
        given = {"src_tokens": src_tokens, "prompt": prompt, "prompt_types": prompt_types}
        return {name: [] if value is None else [value] for name, value in given.items()}

    def nothing(self, src_tokens: Tensor) -> DiagonalGaussian:
        """(B, S) -> a Gaussian of no dimension over (B, 0)."""
        empty = self.embed_tokens.weight.new_zeros(len(src_tokens), 0)
        return DiagonalGaussian(empty, empty)

    def reorder_encoder_out(self, encoder_out, new_order):
        """For beams."""
        return {name: [value.index_select(0, new_order) for value in values] for name, values in encoder_out.items()}

    def max_positions(self) -> int:
        """The longest context."""
        return self.longest
