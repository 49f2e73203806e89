"""The networks of exported models, built from their flags, by the parts that `models` builds them from."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..gaussian import DiagonalGaussian
from ..modules.hierarchical.encoder_decoder import DecodedTurn, DialogueEncoder, ResponseDecoder
from ..modules.hierarchical.latent import ContextLatent, tanh_layers
from ..modules.hierarchical.turns import TurnReader
from ..modules.latent_transformer import share_layers
from ..modules.latents.fusion import LatentFusion
from ..modules.latents.head import CategoricalHead, FixedVarianceHead, LatentHead
from ..modules.latents.scaling import LatentScaling
from ..modules.packed import packings
from ..modules.recurrent import DecodedSentence, SentenceDecoder, SentenceEncoder
from ..selection import DecodedTarget
from ..symbols import EOT
from ..text.vocabulary import index_of
from .transformer import TransformerDecoder, TransformerEncoder
from .words import Words

RANDOM = (nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_, Tensor.normal_, Tensor.uniform_)
Longest = tuple[int, int]  # tokens of a context, of a response


class Uninitialised(TorchFunctionMode):
    """Builds modules without random numbers: their weights are read from a file, or, on the meta device, there are none."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """The tensor as it is in place of one filled."""
        kwargs = kwargs or {}
        if func in RANDOM:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


class Network(nn.Module):
    """An encoder that samples latents of the prior, a decoder, and both Gaussians of a pair."""

    def __init__(self, encoder: Any, decoder: Any, latent_dim: int):
        super().__init__()
        self.encoder, self.decoder, self.latent_dim = encoder, decoder, latent_dim

    def distributions(
        self, src_tokens: Tensor, prev_output_tokens: Tensor, target: Tensor
    ) -> tuple[DiagonalGaussian, DiagonalGaussian, DecodedTarget]:
        """Prior and posterior of each example over (B, Z), and its target waiting for a latent."""
        raise NotImplementedError

    def with_latents(self, encoded: dict[str, list[Tensor]], z: Tensor) -> dict[str, list[Tensor]]:
        """An encoder's output with these latents (B, Z)."""
        return {**encoded, "latent": [z]}


def scaling_of(flags: Mapping[str, Any], latent_dim: int) -> LatentScaling:
    """The last step of prior and posterior."""
    norm_scale = flags["posterior_norm_scale"] if flags["posterior_norm"] == "batch" else 0.0
    return LatentScaling(latent_dim, norm_scale, flags["latent_scale"])


class TransformerNetwork(Network):
    """`t_cvae` and `t_spacefusion`."""

    def __init__(self, flags: Mapping[str, Any], words: Words, longest: Longest):
        sizes = {name: flags[name] for name in ("embed_dim", "ffn_dim", "layers", "heads", "activation")}
        embed_tokens = nn.Embedding(len(words), flags["embed_dim"], words.pad())
        response_alone = "sigma" in flags
        latent_dim = flags["latent_codes" if flags["latent_kind"] == "categorical" else "latent_dim"]
        head = self._head(flags, latent_dim)
        encoder = TransformerEncoder(
            words, embed_tokens, sizes, longest[0], head, flags["posterior_encoding"], response_alone
        )
        fusion = LatentFusion(flags["embed_dim"], latent_dim, flags["fusion_activation"])
        tied, lexical_model = not flags["no_share_output"], flags["lexical_model"]
        decoder = TransformerDecoder(words, embed_tokens, sizes, longest[1], fusion, tied, lexical_model)
        if not flags["no_share_layers"]:
            share_layers(encoder, decoder)
        super().__init__(encoder, decoder, latent_dim)
        self.reads_input = flags["posterior_input"] == "decoder_input"

    def _head(self, flags: Mapping[str, Any], latent_dim: int) -> nn.Module:
        sizes = flags["embed_dim"], latent_dim, flags["heads"], 0.0, flags["prior_hidden_dim"]
        if flags["latent_kind"] == "categorical":
            return CategoricalHead(*sizes)
        scaling = scaling_of(flags, latent_dim)
        return FixedVarianceHead(*sizes, flags["sigma"], scaling) if "sigma" in flags else LatentHead(*sizes, scaling)

    def distributions(
        self, src_tokens: Tensor, prev_output_tokens: Tensor, target: Tensor
    ) -> tuple[DiagonalGaussian, DiagonalGaussian, DecodedTarget]:
        """See `Network`."""
        of_context, of_response = packings(self.encoder.real(src_tokens), self.encoder.real(target))
        read = prev_output_tokens if self.reads_input else target
        context, prior, posterior = self.encoder.distributions(src_tokens, read, of_context, of_response)
        return prior, posterior, self.decoder.decode(prev_output_tokens, of_response, context, src_tokens, target)


class SentenceNetwork(Network):
    """`gru_vae`."""

    def __init__(self, flags: Mapping[str, Any], words: Words, longest: Longest):
        sizes = flags["embed_dim"], flags["hidden_dim"], flags["latent_dim"]
        encoder = SentenceEncoder(
            words, *sizes, flags["encoder_layers"], flags["bidirectional"], 0.0, longest[0], flags["encoder_pooling"],
            scaling_of(flags, flags["latent_dim"]),
        )  # fmt: skip
        decoder = SentenceDecoder(words, *sizes, flags["decoder_layers"], 0.0, 0.0, 0.0, longest[1])
        super().__init__(encoder, decoder, flags["latent_dim"])

    def distributions(
        self, src_tokens: Tensor, prev_output_tokens: Tensor, target: Tensor
    ) -> tuple[DiagonalGaussian, DiagonalGaussian, DecodedTarget]:
        """See `Network`."""
        decoded = DecodedSentence(self.decoder, prev_output_tokens, target)
        return self.encoder.prior(src_tokens), self.encoder.posterior(src_tokens), decoded


class TurnNetwork(Network):
    """`hred`, `vhred` and `rnn_cvae`; floor, begins, tanh: see `models.hierarchical_model`."""

    floor = begins = False
    tanh = True

    def __init__(self, flags: Mapping[str, Any], words: Words, longest: Longest):
        embed_tokens = nn.Embedding(len(words), flags["embed_dim"], words.pad())
        begin, limits = words.bos() if self.begins else -1, (flags["context_utterances"], flags["utterance_tokens"])
        reader = TurnReader(words.pad(), words.eos(), index_of(words, EOT), begin, *limits)
        encoder = DialogueEncoder(
            words, embed_tokens, reader, flags["utterance_dim"], flags["context_dim"], self.floor, self.latent(flags), 0.0,
            longest[0], flags["encoder_pooling"],
        )  # fmt: skip
        condition = flags["context_dim"] + encoder.latent_dim
        decoder = ResponseDecoder(words, embed_tokens, condition, flags["decoder_dim"], self.tanh, 0.0, longest[1])
        super().__init__(encoder, decoder, encoder.latent_dim)

    def latent(self, flags: Mapping[str, Any]) -> ContextLatent | None:
        """Prior and recognition network."""
        return None

    def distributions(
        self, src_tokens: Tensor, prev_output_tokens: Tensor, target: Tensor
    ) -> tuple[DiagonalGaussian, DiagonalGaussian, DecodedTarget]:
        """See `Network`."""
        context, prior, posterior = self.encoder.distributions(src_tokens, target)
        return prior, posterior, DecodedTurn(self.decoder, context, prev_output_tokens, target)


class VHREDNetwork(TurnNetwork):
    """`vhred`."""

    layers = 2

    def latent(self, flags: Mapping[str, Any]) -> ContextLatent:
        """Hidden layers as wide as the context's state."""
        context, response, outputs = flags["context_dim"], 2 * flags["utterance_dim"], 2 * flags["latent_dim"]
        prior = tanh_layers(context, context, outputs, self.layers)
        recognition = tanh_layers(context + response, context, outputs, self.layers)
        return ContextLatent(flags["latent_dim"], prior, recognition, True, scaling_of(flags, flags["latent_dim"]))


class CVAENetwork(TurnNetwork):
    """`rnn_cvae`."""

    floor = begins = True
    tanh = False

    def latent(self, flags: Mapping[str, Any]) -> ContextLatent:
        """A prior with one hidden layer, a recognition network without."""
        context, response, outputs = flags["context_dim"], 2 * flags["utterance_dim"], 2 * flags["latent_dim"]
        prior = tanh_layers(context, flags["prior_hidden_dim"], outputs, 1)
        recognition, scaling = nn.Linear(context + response, outputs), scaling_of(flags, flags["latent_dim"])
        return ContextLatent(flags["latent_dim"], prior, recognition, scaling=scaling)


NETWORKS: dict[str, Callable[[Mapping[str, Any], Words, Longest], Network]] = {
    "t_cvae": TransformerNetwork,
    "t_spacefusion": TransformerNetwork,
    "gru_vae": SentenceNetwork,
    "hred": TurnNetwork,
    "vhred": VHREDNetwork,
    "rnn_cvae": CVAENetwork,
}
