"""The persona CVAE without fairseq: a language model's folder in `transformers`' form, and its latents' networks beside it.

The folder is what `transformers` reads; `latents.json` and `latents.safetensors` hold what it has no place for: the
prior and recognition networks, the vectors of latents and roles, the rows of our special tokens.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..gaussian import DiagonalGaussian
from ..modules.language_models.body import LanguageModelBody, injection_points
from ..modules.language_models.decoder import DecodedReply
from ..modules.language_models.persona import PersonaDecoder, PersonaEncoder
from ..modules.language_models.pretrained import LanguageModel, of_folder, rows_of_symbols
from ..modules.language_models.word_table import WordTable, rows_for
from ..modules.latents.encoders import BlocksReader, LatentReader
from ..modules.latents.persona import PersonaEmbedding, PersonaLatents
from ..selection import DecodedTarget
from ..symbols import EOT
from ..text.vocabulary import index_of
from .folder import LATENTS, REMEDY, Description, fill, read_weights
from .networks import Network, scaling_of
from .words import Words

ARCHITECTURE = "persona_cvae_gpt2"
SPECIAL = ("special.rows", "special.input", "special.output")  # ids, and their rows of both word tables
NUM_LATENTS = 2


class PersonaNetwork(Network):
    """`persona_cvae_gpt2`; a posterior reads the partner's profile and its similarity to the response."""

    def __init__(self, flags: Mapping[str, Any], words: Words, read: LanguageModel, folder: Path):
        latents = None if flags["no_latents"] else _latents(flags, read.body)
        points = [] if latents is None else injection_points(flags["inject_after"], flags["layers"])
        places = flags["inject_weight"], flags["latents_at"], flags["inject_scale"]
        body = LanguageModelBody(read.body, 0 if latents is None else NUM_LATENTS, points, *places)
        positions = body.positions
        if positions is None:
            positions = nn.Embedding(flags["positions"], flags["embed_dim"])
        end_of_turn = index_of(words, EOT)
        read_as = words.eos() if flags["turn_end"] == "eos" else end_of_turn
        table = _word_table(flags, words, read, folder)
        embedding = PersonaEmbedding(table, positions, body.offset, flags["positions"], words, end_of_turn, read_as)
        response = flags["positions"] // 4
        encoder = PersonaEncoder(words, embedding, latents, flags["positions"] - response - 1)
        super().__init__(encoder, PersonaDecoder(words, embedding, body, response), encoder.latent_dim)

    def with_latents(self, encoded: dict[str, list[Tensor]], z: Tensor) -> dict[str, list[Tensor]]:
        """The fader is the prior's for this Zp."""
        embedding = self.encoder.embedding
        context = embedding.context(encoded["src_tokens"][0], with_end=True)
        return {**encoded, "latent": [z], "fader": [self.encoder.latents.fader(z, context, embedding)]}

    def distributions(
        self,
        src_tokens: Tensor,
        prev_output_tokens: Tensor,
        target: Tensor,
        partner_tokens: Tensor | None = None,
        similarity: Tensor | None = None,
    ) -> tuple[DiagonalGaussian, DiagonalGaussian, DecodedTarget]:
        """See `Network`; without a profile only the prior means anything."""
        embedding, latents = self.encoder.embedding, self.encoder.latents
        prior = posterior = self.encoder.prior(embedding.context(src_tokens, with_end=True))
        fader = None
        if latents is not None and partner_tokens is not None and similarity is not None:
            posterior = latents.posterior(embedding.profile(partner_tokens), embedding)
            fader = latents.of_number(similarity.to(prior.mean))
        prompt = embedding.context(src_tokens, with_end=False)
        return prior, posterior, DecodedReply(self.decoder, prompt, prev_output_tokens, target, fader)


def read_persona(folder: Path, description: Description, words: Words) -> PersonaNetwork:
    """The network of a folder; InputError for one that is damaged, or whose parts do not belong together."""
    flags = description.flags
    read = of_folder(str(folder), flags["positions"], 0.0, 0.0)
    weights = read_weights(folder / LATENTS)
    rows, given, output = (weights.pop(name, None) for name in SPECIAL)
    if rows is None or given is None or int(rows.max()) >= len(words):
        raise InputError(f"{folder / LATENTS} lacks the rows of special tokens; {REMEDY}")
    network = PersonaNetwork(flags, words, read, folder)
    own = network.state_dict()
    of_folder_itself = {tensor.data_ptr() for tensor in network.decoder.body.state_dict().values()}
    filled = {
        name: tensor for name, tensor in own.items()
        if tensor.data_ptr() in of_folder_itself or ".embed_tokens." in name
    }  # fmt: skip
    fill(network, {**filled, **weights}, folder / LATENTS)
    _put(network.encoder.embed_tokens, rows, given, output)
    return network


@torch.no_grad()
def _put(table: WordTable, rows: Tensor, given: Tensor, output: Tensor | None) -> None:
    table.weight[rows] = given
    if table.output is not None and output is not None:
        table.output[rows] = output


def _word_table(flags: Mapping[str, Any], words: Words, read: LanguageModel, folder: Path) -> WordTable:
    """In the order of our tokens."""
    table = WordTable(len(words), flags["embed_dim"], None, read.output is not None)
    rows = rows_of_symbols(folder)
    filled, lacking = rows_for(words.symbols, read.words, rows)
    if lacking:
        raise InputError(f"{folder}: its weights have no row of {lacking[0]!r:.40}; {REMEDY}")
    table.fill(filled, None if read.output is None else rows_for(words.symbols, read.output, rows)[0])
    return table


def _latents(flags: Mapping[str, Any], model: nn.Module) -> PersonaLatents:
    def reader() -> nn.Module:
        if flags["latent_encoder_init"] == "lm":
            return BlocksReader(model, flags["latent_encoder_layers"], 0.0)
        layers, heads, width = (flags[f"latent_encoder_{part}"] for part in ("layers", "heads", "ffn_dim"))
        activation, norm = flags["latent_encoder_activation"], flags["latent_encoder_norm"]
        return LatentReader(flags["embed_dim"], layers, heads, width, activation, norm, 0.0)

    head_dim = flags["latent_head_dim"] or 4 * flags["embed_dim"]
    return PersonaLatents(
        reader(), reader(), flags["embed_dim"], head_dim, flags["fader_mode"], flags["fader_direction"],
        scaling_of(flags, flags["embed_dim"]),
    )  # fmt: skip
