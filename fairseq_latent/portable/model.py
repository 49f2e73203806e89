"""An exported model, ready to use: it replies, samples, decodes and scores with torch alone, as the training's own model."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..decoding.contexts import content_seeds, example_seeds, newest_turns
from ..decoding.generation_flags import check_flags
from ..errors import InputError
from ..gaussian import seeded_noise
from ..losses import importance_weighted_nll
from ..symbols import EOT
from ..text.tokenizers import tokenizer_of
from ..text.vocabulary import index_of
from .folder import (
    CONFIG,
    OF_PERSONA,
    REMEDY,
    WEIGHTS,
    WORDS,
    Description,
    check_sizes,
    fill,
    read_description,
    read_weights,
    read_words,
)
from .generation import Hypothesis, Settings, encode, generate
from .networks import NETWORKS, Network, Uninitialised
from .results import Latents, Reply, Scores
from .words import Words

BATCH = 16  # contexts at a time
Context = str | Sequence[str]


class PortableModel:
    """A context is a list of turns, the oldest first, or one string with " <eot> " between them; texts are plain.

    Sentence VAEs read a sentence in the place of a context.
    """

    def __init__(self, network: Any, words: Words, description: Description, folder: str | Path, device: torch.device):
        self.network, self.words, self.description, self.folder = network.to(device).eval(), words, description, folder
        self.tokenizer, self.device = tokenizer_of(folder), device

    @property
    def has_latent(self) -> bool:
        """Whether replies differ by latent."""
        return bool(self.network.latent_dim)

    @property
    def has_fader(self) -> bool:
        """Whether `fader` sets anything."""
        return getattr(self.network.encoder, "latents", None) is not None

    # --- replies ---------------------------------------------------------------------------------------------------

    def reply(
        self,
        contexts: Sequence[Context],
        n: int = 3,
        *,
        seed: int | None = None,
        ids: Sequence[int] | None = None,
        beam: int = 0,
        top_k: int = 4,
        top_p: float = 0.8,
        max_length: int = 40,
        lenpen: float = 1.0,
        temperature: float = 1.0,
        latent_mean: bool = False,
        from_prior: bool = False,
        fader: float | None = None,
    ) -> list[list[Reply]]:
        """`n` replies to each context, each of a latent of its own; the same context gets the same replies in any batch.

        beam: beam search of this width, 1 is greedy; 0: words are sampled from the `top_k` best within probability `top_p`.
        ids: of each context in a test set: its noise is then that of fairseq-generate, where otherwise its words decide.
        latent_mean: the mean of the latent's distribution in place of samples. from_prior: sentence VAEs sample sentences,
        where otherwise they write the given one again. fader: from 0 to 1, in place of the prior's, of persona
        models. A model without latents gives its `n` best under beam search.
        InputError for what cannot be asked.
        """
        settings = self._settings(beam, top_k, top_p, max_length, lenpen, temperature)
        sampling = self._sampling(latent_mean, from_prior)
        if fader is not None:
            if not self.has_fader:
                raise InputError(f"fader {fader}: {self.folder} has no fader; remedy: a model of persona_cvae_gpt2")
            if not 0 <= fader <= 1:
                raise InputError(f"fader {fader}; remedy: from 0 to 1")
            sampling["fader"] = fader
        latents = n
        if beam and not self.has_latent:  # all latents would be the same
            latents = 1
            if beam < n:
                raise InputError(f"beam {beam}: {n} replies of a model without latents; remedy: beam {n}, or more")
        if n < 1:
            raise InputError(f"n {n}; remedy: 1 or more")
        return [
            [reply for replies in part for reply in replies[: n // latents]]
            for part in self._replies(contexts, settings, latents, seed, ids, sampling)
        ]

    def sample(
        self,
        contexts: Sequence[Context],
        n: int = 1,
        *,
        seed: int | None = None,
        latent_mean: bool = False,
        from_prior: bool = False,
    ) -> np.ndarray:
        """(N, n, Z): `n` latents of each context, those that `reply` decodes."""
        sampling = self._sampling(latent_mean, from_prior)
        found = []
        for tokens, seeds, _ in self._batches(contexts, seed, None):
            encoded = encode(self.network, tokens, seeds, n, **sampling)
            found.append(encoded["latent"][0].unflatten(0, (-1, n)).cpu())
        return torch.cat(found).numpy()

    def decode(
        self,
        contexts: Sequence[Context],
        latents: np.ndarray,
        *,
        beam: int = 5,
        max_length: int = 40,
        lenpen: float = 1.0,
    ) -> list[list[Reply]]:
        """The best text of each latent (N, n, Z) under beam search."""
        z = torch.as_tensor(np.asarray(latents), dtype=torch.float32)
        if z.dim() != 3 or len(z) != len(contexts) or z.size(-1) != self.network.latent_dim:
            raise InputError(
                f"latents of shape {tuple(z.shape)}; remedy: ({len(contexts)}, n, {self.network.latent_dim})"
            )
        settings = self._settings(beam, -1, -1.0, max_length, lenpen, 1.0)
        found = self._replies(contexts, settings, z.size(1), None, None, self._sampling(True, False), z)
        return [[replies[0] for replies in part] for part in found]

    def _settings(
        self, beam: int, top_k: int, top_p: float, max_length: int, lenpen: float, temperature: float
    ) -> Settings:
        asked: dict[str, Any] = {"sampling": True, "sampling_topk": top_k, "sampling_topp": top_p} if not beam else {}
        if beam < 0:
            raise InputError(f"beam {beam}; remedy: 0 or more")
        settings = Settings(
            beam=beam or 1, longest=max_length, lenpen=lenpen, temperature=temperature, forbidden=self.description.forbidden,
            **asked,
        )  # fmt: skip
        check_flags(_Flags(settings))
        return settings

    def _sampling(self, latent_mean: bool, from_prior: bool) -> dict[str, Any]:
        """How the encoder samples latents: keywords of its `forward`."""
        if from_prior and self.description.answers:
            raise InputError("from_prior: of sentence VAEs alone; others sample the prior always; remedy: without it")
        return {"latent_mean": latent_mean} | ({} if self.description.answers else {"reconstruct": not from_prior})

    def _replies(
        self, contexts: Sequence[Context], settings: Settings, n: int, seed: int | None, ids: Sequence[int] | None,
        sampling: dict, z: Tensor | None = None,
    ) -> list[list[list[Reply]]]:  # fmt: skip
        """Of each context and each of its n latents the replies, the best first."""
        found: list = []
        for tokens, seeds, rows in self._batches(contexts, seed, ids):
            given = None if z is None else z[rows].flatten(0, 1).to(self.device)
            encoded = encode(self.network, tokens, seeds, n, given, **sampling)
            beams = generate(self.network, settings, encoded, seeds, n)
            faders: Sequence[float | None] = [None] * len(beams)
            if self.has_fader:
                faders = self.network.encoder.latents.number(encoded["fader"][0]).tolist()
            replies = [[self._reply(each, fader) for each in beam] for beam, fader in zip(beams, faders, strict=True)]
            found += [replies[start : start + n] for start in range(0, len(replies), n)]
        return found

    def _batches(
        self, contexts: Sequence[Context], seed: int | None, ids: Sequence[int] | None
    ) -> Iterator[tuple[Tensor, Tensor, list[int]]]:
        """Contexts (B, S), their noise seeds (B,), and which they are."""
        _refuse_one(contexts)
        rows, chosen = [self._context(context) for context in contexts], self.description.seed if seed is None else seed
        if ids is not None and len(ids) != len(rows):
            raise InputError(f"{len(ids)} ids of {len(rows)} contexts; remedy: one for each")
        for start in range(0, len(rows), BATCH):
            places = list(range(start, min(start + BATCH, len(rows))))
            tokens = self._padded([rows[place] for place in places])
            if ids is None:
                seeds = content_seeds(tokens, self.words.pad(), chosen)
            else:
                seeds = example_seeds(torch.tensor([ids[place] for place in places]), chosen).to(self.device)
            yield tokens, seeds, places

    # --- measures --------------------------------------------------------------------------------------------------

    def score(
        self,
        contexts: Sequence[Context],
        responses: Sequence[str],
        *,
        prior_samples: int = 0,
        importance_samples: int = 0,
    ) -> Scores:
        """What each response costs, and what its latent carries; pair k's noise comes from the model's seed and k.

        prior_samples, importance_samples: latents per pair; 0 leaves that number out. InputError for persona models with
        latents, whose posterior reads a profile.
        """
        if self.has_fader:
            raise InputError(
                f"{self.folder}: the posterior of a persona model reads profiles; remedy: fairseq_latent.load(RUN).score"
            )
        found: dict[str, list[Tensor]] = {}
        for batch in self._pairs(contexts, responses):
            with torch.no_grad():
                part = self._measured(*batch, prior_samples, importance_samples)
            for name, value in part.items():
                found.setdefault(name, []).append(value.double().cpu())
        columns = {name: torch.cat(parts).numpy() for name, parts in found.items()}
        return Scores(
            columns["nll"], columns["kl"], columns["tokens"].astype(int), columns.get("prior"), columns.get("weighted")
        )

    def _measured(
        self,
        source: Tensor,
        previous: Tensor,
        target: Tensor,
        seeds: Tensor,
        prior_samples: int,
        importance_samples: int,
    ) -> dict[str, Tensor]:
        prior, posterior, decoded = self.network.distributions(source, previous, target)
        size = self.network.latent_dim
        z = posterior.rsample(seeded_noise(seeds, max(1, importance_samples), size).transpose(0, 1))  # (K, B, Z)
        nll = decoded.nll(z)
        part = {"nll": nll[0], "kl": posterior.kl(prior), "tokens": target.ne(self.words.pad()).sum(1)}
        if importance_samples:
            part["weighted"] = importance_weighted_nll(nll, prior.log_prob(z), posterior.log_prob(z))
        if prior_samples:
            noise = seeded_noise(seeds, prior_samples, size).transpose(0, 1)
            part["prior"] = decoded.nll(prior.rsample(noise)).mean(0)
        return part

    def latents(self, contexts: Sequence[Context], responses: Sequence[str] | None = None) -> Latents:
        """The prior and, with responses or of a sentence VAE, the posterior of each context; of persona models the prior."""
        if not self.has_latent:
            raise InputError(f"{self.folder}: this model has no latent; remedy: one that has")
        given = (responses is not None or not self.description.answers) and not self.has_fader
        columns: list[list[Tensor]] = []
        for source, previous, target, _ in self._pairs(contexts, responses or [""] * len(contexts)):
            with torch.no_grad():
                prior, posterior, _ = self.network.distributions(source, previous, target)
            read = (prior, posterior) if given else (prior,)
            columns.append([each.double().cpu() for gaussian in read for each in (gaussian.mean, gaussian.logvar)])
        return Latents(*(torch.cat(column).numpy() for column in zip(*columns, strict=True)))

    def _pairs(
        self, contexts: Sequence[Context], responses: Sequence[str]
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Contexts (B, S), the decoder's input (B, T), responses (B, T), noise seeds (B,)."""
        _refuse_one(contexts)
        if len(contexts) != len(responses):
            raise InputError(
                f"{len(contexts)} contexts and {len(responses)} responses; remedy: one response per context"
            )
        sources = [self._context(context) for context in contexts]
        targets = [self._ids(response) for response in responses] if self.description.answers else sources
        longest = self.description.longest[1]
        for number, target in enumerate(targets):
            if len(target) > longest:
                raise InputError(
                    f"response {number} has {len(target):,} tokens, the model takes {longest:,}; remedy: cut it"
                )
        for start in range(0, len(sources), BATCH):
            source, target = (self._padded(side[start : start + BATCH]) for side in (sources, targets))
            ends = target.ne(self.words.pad()).sum(1, keepdim=True) - 1
            previous = target.scatter(1, ends, self.words.pad()).roll(1, dims=1)
            previous[:, 0] = self.words.eos()
            yield (
                source,
                previous,
                target,
                example_seeds(torch.arange(start, start + len(source)), self.description.seed).to(self.device),
            )

    # --- text ------------------------------------------------------------------------------------------------------

    def _context(self, context: Context) -> Tensor:
        """Ids of its newest turns, as many as the model takes."""
        tokens = self._ids(context if isinstance(context, str) else f" {EOT} ".join(context))
        if not self.description.answers:
            if len(tokens) > self.description.longest[0]:
                raise InputError(
                    f"a sentence has {len(tokens):,} tokens, the model takes {self.description.longest[0]:,}; remedy: cut it"
                )
            return tokens
        return newest_turns(tokens, self.description.longest[0], index_of(self.words, EOT))

    def _ids(self, text: str) -> Tensor:
        return self.words.encode(self.tokenizer.encode(text))

    def _padded(self, rows: list[Tensor]) -> Tensor:
        return pad_sequence(rows, batch_first=True, padding_value=self.words.pad()).to(self.device)

    def _reply(self, hypothesis: Hypothesis, fader: float | None) -> Reply:
        return Reply(self.tokenizer.decode(self.words.string(hypothesis.tokens)), fader, hypothesis.score)


class _Flags:
    """Settings by the names that fairseq's flags have."""

    def __init__(self, settings: Settings):
        vars(self).update(vars(settings), max_len_a=0, max_len_b=settings.longest, nbest=settings.beam)


def load(folder: str | Path, cpu: bool = False) -> PortableModel:
    """The model of a folder that `fairseq-latent export` made; a GPU is used where there is one, unless `cpu`.

    InputError for a folder that is damaged, or of an architecture that this version does not know.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; remedy: one that fairseq-latent export made")
    if (folder / OF_PERSONA).is_file():  # config.json is that of its language model
        from .persona import read_persona

        description, words = read_description(folder / OF_PERSONA), read_words(folder / WORDS)
        network: Network = _built(folder / OF_PERSONA, lambda: read_persona(folder, description, words))
    else:
        description, words = read_description(folder / CONFIG), read_words(folder / WORDS)
        weights = read_weights(folder / WEIGHTS)
        with torch.device("meta"):  # what would be larger than the file is never built
            check_sizes(build(description, words, folder / CONFIG), weights, folder / WEIGHTS)
        network = build(description, words, folder / CONFIG)
        fill(network, weights, folder / WEIGHTS)
    if any(each >= len(words) for each in description.forbidden):
        raise InputError(f"{folder}: forbids tokens that {WORDS} does not have; {REMEDY}")
    return PortableModel(network, words, description, folder, device(cpu))


def build(description: Description, words: Words, path: Path) -> Network:
    """The network that a description asks for, its weights not yet set."""
    made = NETWORKS.get(description.architecture)
    if made is None:
        known = ", ".join(NETWORKS)
        raise InputError(f"{path}: architecture {description.architecture!r:.80} is not known; remedy: one of {known}")
    with Uninitialised():
        return _built(path, lambda: made(description.flags, words, description.longest))


def _built(path: Path, make: Callable[[], Network]) -> Network:
    """InputError for flags of which nothing can be built."""
    try:
        return make()
    except (KeyError, TypeError, ValueError, RuntimeError, ArithmeticError, AssertionError) as error:
        what = f"{type(error).__name__} {error}".splitlines()[0][:120]
        raise InputError(
            f"{path}: no network can be built of its flags ({what}); remedy: export the model again"
        ) from error


def device(cpu: bool) -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() and not cpu else "cpu")


def _refuse_one(contexts: Sequence[Context]) -> None:
    if isinstance(contexts, str):
        raise InputError("contexts is one text; remedy: a list of contexts")
