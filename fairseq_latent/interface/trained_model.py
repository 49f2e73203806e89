"""A trained model from a checkpoint, as Python programs use it.

It works on every architecture and task of this package that decodes, and `fairseq-latent chat` is written with it.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import fairseq  # noqa: F401  first: it registers the plugin, whose parts import each other
import numpy as np
import torch
from torch import Tensor

import fairseq_latent

from ..decoding.contexts import content_seeds, expand_contexts, newest_turns
from ..errors import InputError
from ..evaluation.analysis import checkpoint
from ..evaluation.analysis.checkpoint import Trained, distributions
from ..evaluation.analysis.latents import measured
from ..evaluation.analysis.prior_nll import prior_nll
from ..evaluation.runs.run_folder import CHECKPOINT
from ..portable.results import Latents, Reply, Scores
from ..reranking import WITH_MODEL
from ..symbols import EOT
from ..text.tokenizers import tokenizer_of
from ..text.vocabulary import index_of

BATCH = 16  # contexts at a time
CANDIDATES = 20  # replies to each context that are ranked
Context = str | Sequence[str]


class TrainedModel:
    """A checkpoint, ready to use. A context is a list of turns, the oldest first, or one string with " <eot> " between them.

    Texts are plain: they are tokenised as the data was. Sentence VAEs read a sentence in the place of a context.
    """

    def __init__(self, trained: Trained, path: str | Path, data: str | Path):
        self.trained, self.path, self.data = trained, path, data
        self.tokenizer = tokenizer_of(data)

    @property
    def has_fader(self) -> bool:
        """Whether `fader` sets anything."""
        return getattr(self.trained.model.encoder, "latents", None) is not None

    @property
    def has_latent(self) -> bool:
        """Whether replies differ by latent."""
        return bool(getattr(self.trained.model, "latent_dim", 0))

    @property
    def answers_contexts(self) -> bool:
        """Whether it answers; a sentence VAE writes its sentence again."""
        return getattr(self.trained.task, "reads_context", True)

    @property
    def reads_own_persona(self) -> bool:
        """Whether `persona` is read."""
        return getattr(self.trained.model, "prompt_layout", None) is not None

    # --- replies ---------------------------------------------------------------------------------------------------

    def reply(
        self,
        contexts: Sequence[Context],
        n: int = 3,
        *,
        seed: int | None = None,
        beam: int = 0,
        top_k: int = 4,
        top_p: float = 0.8,
        max_length: int = 40,
        fader: float | None = None,
        persona: str | Sequence[str] | None = None,
        rerank: str | None = None,
        rerank_model: str | Path | None = None,
        candidates: int | None = None,
    ) -> list[list[Reply]]:
        """`n` replies to each context, each of a latent of its own; the same context gets the same replies in any batch.

        beam: beam search of this width; 0: words are sampled from the `top_k` best within probability `top_p`. A model
        without latents gives its `n` best under beam search. max_length: tokens. fader: from 0 to 1, in place of the
        prior's. persona: sentences, or a file of them, of models that read their own. InputError if the model has none.
        rerank, rerank_model: as of fairseq-generate: `candidates` replies (20) are decoded, the best `n` are given, the best
        one first.
        """
        _refuse_one(contexts)
        self.check_options(fader, persona)
        decoded = n if rerank is None else candidates if candidates is not None else max(n, CANDIDATES)
        for name, value, least in (
            ("n", n, 1),
            ("beam", beam, 0),
            ("max_length", max_length, 1),
            ("candidates", decoded, n),
        ):
            if value < least:
                raise InputError(f"{name} {value}; remedy: {least} or more")
        options: dict[str, object] = {"latent_samples": decoded, **self._reranking(rerank, rerank_model, candidates)}
        if seed is not None:
            options["seed"] = seed
        if hasattr(self.trained.task.cfg, "fader"):
            options["fader"] = fader
        if hasattr(self.trained.task.cfg, "persona"):
            options["persona"] = persona if persona is None or isinstance(persona, str) else "\n".join(persona)
        with _options(self.trained.task.cfg, options):
            generator, nbest = self._generator(decoded, beam, top_k, top_p, max_length)
            rows = [self._context(context) for context in contexts]
            return [
                replies[:n]
                for start in range(0, len(rows), BATCH)
                for replies in self._answer(generator, rows[start : start + BATCH], decoded, nbest)
            ]

    def _reranking(self, rerank: str | None, model: str | Path | None, candidates: int | None) -> dict[str, object]:
        """Options of the task; InputError for what does not belong together."""
        known = hasattr(self.trained.task.cfg, "rerank")
        if rerank is None:
            if model is not None or candidates is not None:
                raise InputError(
                    "rerank_model and candidates are for rerank; remedy: rerank='mmi', 'relevance' or 'lm'"
                )
            return {"rerank": "none", "rerank_model": None} if known else {}
        if not known or rerank not in WITH_MODEL:
            what = f"{self.path} answers no contexts" if not known else "there are no references to rank by"
            raise InputError(f"rerank {rerank}: {what}; remedy: {' or '.join(WITH_MODEL)}, of a dialogue model")
        return {"rerank": rerank, "rerank_model": None if model is None else str(model)}

    def check_options(self, fader: float | None, persona: object | None) -> None:
        """InputError for what this model does not read."""
        if fader is not None and not self.has_fader:
            raise InputError(f"--fader {fader}: {self.path} has no fader; remedy: a checkpoint of persona_cvae_gpt2")
        if fader is not None and not 0 <= fader <= 1:
            raise InputError(f"--fader {fader}; remedy: from 0 to 1")
        if persona is not None and not self.reads_own_persona:
            raise InputError(
                f"--persona: {self.path} reads no persona of its own; remedy: a checkpoint of transfertransfo, or without it"
            )

    def _generator(self, n: int, beam: int, top_k: int, top_p: float, max_length: int):
        from fairseq.dataclass.configs import GenerationConfig

        task, nbest = self.trained.task, 1
        if beam and not self.has_latent:  # all latents would be the same
            task.cfg.latent_samples, nbest = 1, n
            if beam < n:
                raise InputError(f"beam {beam}: {n} replies of a model without latents; remedy: beam {n}, or more")
        search = {"beam": beam, "nbest": nbest} if beam else {
            "beam": 1, "sampling": True, "sampling_topk": top_k, "sampling_topp": top_p,
        }  # fmt: skip
        generation = GenerationConfig(max_len_a=0, max_len_b=max_length, **search)
        return task.build_generator([self.trained.model], generation), nbest

    def _answer(self, generator, rows: list[Tensor], n: int, nbest: int) -> Iterator[list[Reply]]:
        task, model = self.trained.task, self.trained.model
        dataset = task.build_dataset_for_inference(rows, [len(row) for row in rows])
        sample = self._on_device(dataset.collater([dataset[index] for index in range(len(rows))]))
        # the content of a context decides, and not its place
        net_input = {name: value for name, value in sample["net_input"].items() if name != "noise_seed"}
        with torch.no_grad():
            found = task.inference_step(generator, [model], {**sample, "net_input": net_input})
        faders = self._faders(net_input, n)
        of_row = {}
        for place, (row, beams) in enumerate(zip(sample["id"].tolist(), found, strict=True)):
            texts = [self._text(beam["tokens"]) for beam in beams[: n if nbest == 1 else nbest]]
            places = [beam.get("candidate", each) for each, beam in enumerate(beams[: len(texts)])]
            scores = [float(beam["score"]) / math.log(2) if "candidate" in beam else None for beam in beams]
            of_row[row] = [
                Reply(text, faders[place * n + each], score)
                for text, each, score in zip(texts, places, scores, strict=False)
            ]
        return (of_row[row] for row in range(len(rows)))

    def _faders(self, net_input: dict, n: int) -> list[float | None]:
        """Of each reply to each context, in their order."""
        size = len(net_input["src_tokens"])
        if not self.has_fader:
            return [None] * (size * n)
        task, encoder = self.trained.task, self.trained.model.encoder
        seeds = content_seeds(net_input["src_tokens"], task.source_dictionary.pad(), task.cfg.seed)
        inputs = {**net_input, "noise_seed": seeds, **task.sampling_inputs()}
        inputs = expand_contexts(inputs, n) if n > 1 else inputs
        inputs.pop("prev_output_tokens", None)
        with torch.no_grad():
            return encoder.latents.number(encoder(**inputs)["fader"][0]).tolist()

    # --- measures --------------------------------------------------------------------------------------------------

    def score(
        self,
        contexts: Sequence[Context],
        responses: Sequence[str],
        *,
        prior_samples: int = 0,
        importance_samples: int = 0,
        **persona: Sequence,
    ) -> Scores:
        """What each response costs, and what its latent carries; pair k's noise comes from the model's seed and k.

        prior_samples, importance_samples: latents per pair; 0 leaves that number out. persona: `profiles` (a list, each
        a partner's sentences) with `similarity` (numbers from 0 to 1) for persona models with latents, or `personas` (a
        list, each the speaker's own sentences) for models that read them. InputError for what the model cannot read.
        """
        pad = self.trained.task.target_dictionary.pad()
        found: dict[str, list] = {}
        for batch in self._pairs(contexts, responses, **persona):
            with torch.no_grad():
                part = measured(self.trained.model, batch, pad, importance_samples, "float32")
                if prior_samples:
                    part["prior"] = prior_nll(self.trained.model, batch, pad, prior_samples).mean(0)
            for name in ("id", "nll", "kl", "beside", "tokens", "weighted", "prior"):
                if name in part:
                    found.setdefault(name, []).append(part[name].double().cpu())
        columns = _in_order(found)
        return Scores(
            columns["nll"],
            columns["kl"] + columns["beside"],
            columns["tokens"].astype(int),
            columns.get("prior"),
            columns["weighted"] if importance_samples else None,
        )

    def latents(
        self, contexts: Sequence[Context], responses: Sequence[str] | None = None, **persona: Sequence
    ) -> Latents:
        """Prior and, with responses (and, for persona models, `profiles` and `similarity`), posterior of each pair."""
        if not self.has_latent:
            raise InputError(f"{self.path}: this model has no latent; remedy: one that has")
        given = responses is not None or not self.answers_contexts
        if not given and "profiles" in self._needed():
            persona = {"profiles": [[]] * len(contexts), "similarity": [0.0] * len(contexts)}  # the prior reads neither
        found: dict[str, list] = {}
        for batch in self._pairs(contexts, responses if responses is not None else [""] * len(contexts), **persona):
            with torch.no_grad():
                prior, posterior, _ = distributions(self.trained.model, batch)
            values = {"id": batch["id"], "prior": prior.mean, "prior_logvar": prior.logvar}
            values |= {"posterior": posterior.mean, "posterior_logvar": posterior.logvar} if given else {}
            for name, value in values.items():
                found.setdefault(name, []).append(value.expand(len(batch["id"]), *value.shape[1:]).double().cpu())
        columns = _in_order(found)
        return Latents(
            columns["prior"], columns["prior_logvar"], columns.get("posterior"), columns.get("posterior_logvar")
        )

    def _pairs(self, contexts: Sequence[Context], responses: Sequence[str], **persona: Sequence) -> Iterator[dict]:
        """Batches of pairs of about the same length."""
        _refuse_one(contexts)
        task = self.trained.task
        if len(contexts) != len(responses):
            raise InputError(
                f"{len(contexts)} contexts and {len(responses)} responses; remedy: one response per context"
            )
        if missing := self._needed() - persona.keys():
            raise InputError(
                f"{self.path} reads {' and '.join(sorted(missing))}, too; remedy: lists as long as contexts"
            )
        if unread := persona.keys() - self._needed():
            raise InputError(f"{self.path} does not read {' or '.join(sorted(unread))}; remedy: leave it out")
        sources = [self._context(context) for context in contexts]
        targets = [self._ids(text, task.target_dictionary) for text in responses]
        if not self.answers_contexts:
            targets = sources
        limits = self.trained.model.max_positions()
        for number, sides in enumerate(zip(sources, targets, strict=True)):
            if any(len(side) > limit for side, limit in zip(sides, limits, strict=True)):
                shown = " and ".join(f"{len(side):,}" for side in sides)
                longest = " and ".join(f"{limit:,}" for limit in limits)
                raise InputError(f"pair {number} has {shown} tokens, the model takes {longest}; remedy: leave it out")
        texts = {
            name: [self._sentences(each) if name != "similarity" else float(each) for each in values]
            for name, values in persona.items()
        }
        for name, values in texts.items():
            if len(values) != len(sources):
                raise InputError(f"{len(values)} {name} of {len(sources)} contexts; remedy: one per context")
        dataset = task.dataset_of_pairs(sources, targets, **texts)
        order = sorted(range(len(sources)), key=lambda number: (len(sources[number]), len(targets[number])))
        for start in range(0, len(order), BATCH):
            yield self._on_device(dataset.collater([dataset[number] for number in order[start : start + BATCH]]))

    def _needed(self) -> set[str]:
        """Keywords of `score` that this model cannot do without."""
        if self.reads_own_persona:
            return {"personas"}
        return {"profiles", "similarity"} if self.has_fader else set()

    # --- text ------------------------------------------------------------------------------------------------------

    def unknown_words(self, text: str) -> list[str]:
        """The words that the model cannot read, in part or at all."""
        words = self.trained.task.source_dictionary
        return [
            word
            for word in text.split()
            if any(words.index(token) == words.unk() for token in self.tokenizer.encode(word).split())
        ]

    def _context(self, context: Context) -> Tensor:
        """Ids of its newest turns, as many as the model takes."""
        task = self.trained.task
        text = context if isinstance(context, str) else f" {EOT} ".join(context)
        tokens = self._ids(text, task.source_dictionary)
        if not self.answers_contexts:
            return tokens
        return newest_turns(tokens, self.trained.model.max_positions()[0], index_of(task.source_dictionary, EOT))

    def _ids(self, text: str, words) -> Tensor:
        return words.encode_line(self.tokenizer.encode(text), add_if_not_exist=False).long()

    def _sentences(self, sentences: str | Sequence[str]) -> Tensor:
        """Ids of a profile: d1 <eot> d2 ... </s>."""
        text = sentences if isinstance(sentences, str) else f" {EOT} ".join(sentences)
        return self._ids(text, self.trained.task.target_dictionary)

    def _text(self, tokens: Tensor) -> str:
        return self.tokenizer.decode(self.trained.task.target_dictionary.string(tokens))

    def _on_device(self, batch: dict) -> dict:
        from fairseq import utils

        return utils.move_to_cuda(batch) if self.trained.device.type == "cuda" else batch


def load(
    path: str | Path, data: str | Path | None = None, seed: int = 1, cpu: bool = False, **task: object
) -> TrainedModel:
    """The model of a run folder (its best checkpoint) or of a checkpoint.

    data: folder made by fairseq-preprocess, for dictionary and tokenizer; default: where it lay when the model was trained.
    seed: of all noise. cpu: leave a GPU alone. task: options of the task in place of those of the training.
    Errors: InputError if there is no such checkpoint or folder, or if this package does not build what it names.
    """
    fairseq_latent.register()
    if Path(path).is_dir():
        path = Path(path) / CHECKPOINT
    if not Path(path).is_file():
        raise InputError(f"{path}: no such checkpoint; remedy: a run folder, or a checkpoint*.pt of it")
    if data is None:
        data = str(training_data(path))
    if not Path(data).is_dir():
        raise InputError(f"{data}: no such folder; remedy: data=the folder made by fairseq-preprocess")
    return TrainedModel(checkpoint.load(path, data, None, seed, cpu, **task), path, data)


def training_data(path: str | Path) -> str:
    """The folder that the model was trained on."""
    from fairseq.checkpoint_utils import load_checkpoint_to_cpu

    from ..compat.checkpoints.allowed_models import asked_for

    with asked_for(stock=False):
        return load_checkpoint_to_cpu(str(path))["cfg"]["task"]["data"].split(":")[0]


def _refuse_one(contexts: Sequence[Context]) -> None:
    if isinstance(contexts, str):
        raise InputError("contexts is one text; remedy: a list of contexts")


class _options:
    """Options of a task for a while."""

    def __init__(self, cfg, options: dict):
        self.cfg, self.options = cfg, options

    def __enter__(self):
        self.before = {name: getattr(self.cfg, name) for name in self.options}
        for name, value in self.options.items():
            setattr(self.cfg, name, value)

    def __exit__(self, *error):
        for name, value in self.before.items():
            setattr(self.cfg, name, value)


def _in_order(found: dict[str, list[Tensor]]) -> dict[str, np.ndarray]:
    """Columns of batches -> arrays in the order of the ids."""
    columns = {name: torch.cat(parts).numpy() for name, parts in found.items()}
    order = columns.pop("id").argsort(kind="stable")
    return {name: column[order] for name, column in columns.items()}
