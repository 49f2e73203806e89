"""A trained model as a folder that torch reads without fairseq: see `portable`.

What is written is read back and compared with the model that it came from before the folder has its name: an option of the
training that the portable form does not know is refused, never dropped.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import fairseq_latent

from ..errors import InputError, missing_extra
from ..evaluation.runs.run_folder import CHECKPOINT
from .conversion import TOKENIZERS, rows_of, to_folder

UNUSED = ("bow_head.",)  # trained beside the model, and read by nobody after
MARKERS = ("version", "_float_tensor")  # fairseq's
TOLERANCE = 1e-4  # of the largest value
ARCHITECTURE = "persona_cvae_gpt2"  # whose language model is a folder of transformers
CHECKED = ((3, 4), (1, 2), (7, 5), (5, 1))  # words of made-up contexts and responses


@dataclass(frozen=True)
class Source:
    """A run folder or checkpoint, and the data folder with its dictionary and tokenizer."""

    path: Path
    data: Path

    @property
    def run(self) -> Path:
        """The folder of the training."""
        return self.path.parent


def source_of(run: Path, data: str | None) -> Source:
    """InputError where the checkpoint or the data is gone."""
    path = run / CHECKPOINT if run.is_dir() else run
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; remedy: a run folder, or a checkpoint*.pt of it")
    if data is None:
        from ..interface.trained_model import training_data

        named = training_data(path)
        if not Path(named).is_dir():
            raise InputError(f"{named}: the data folder of the training is gone; remedy: --data where it lies now")
        return Source(path, Path(named))
    if not Path(data).is_dir():
        raise InputError(f"{data}: no such folder; remedy: --data the folder made by fairseq-preprocess")
    return Source(path, Path(data))


def export(source: Source, folder: Path) -> str:
    """Write the model to a new folder without its card; its architecture.

    InputError for an architecture that has no portable form.
    """
    from ..evaluation.analysis.checkpoint import load
    from ..portable.folder import CONFIG, OF_PERSONA, WEIGHTS, WORDS
    from ..portable.model import load as load_portable
    from ..portable.networks import NETWORKS

    name, flags, seed = _settings(source.path)
    of_persona = name == ARCHITECTURE
    if name not in NETWORKS and not of_persona:
        raise InputError(
            f"{source.path}: --arch {name} has no form without fairseq; remedy: a checkpoint of "
            f"{', '.join([*NETWORKS, ARCHITECTURE])}"
        )
    trained = load(source.path, source.data, None, seed, cpu=True)
    description = _description(trained, name, flags, seed)
    if of_persona:
        _write_persona(trained, source, folder)
    else:
        folder.mkdir(parents=True)
        _write_weights(folder / WEIGHTS, trained.model.state_dict())
        for each in TOKENIZERS:
            if (source.data / each).is_file():
                shutil.copy(source.data / each, folder / each)
    version = {"fairseq_latent_version": fairseq_latent.__version__}
    _write_json(folder / (OF_PERSONA if of_persona else CONFIG), description.as_json() | version)
    _write_json(folder / WORDS, trained.task.target_dictionary.symbols)
    _compare(trained, load_portable(folder, cpu=True), str(source.path))
    return name


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A neighbour that gets the name on success and is removed on any error; InputError for a folder that is there."""
    if folder.exists():
        raise InputError(f"{folder} is there already; remedy: another name")
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        yield part
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _settings(path: Path) -> tuple[str, dict[str, Any], int]:
    """Architecture without its size, the model's flags with their defaults, the seed."""
    fairseq_latent.register()
    from fairseq.models import ARCH_MODEL_NAME_REGISTRY, MODEL_DATACLASS_REGISTRY
    from omegaconf import OmegaConf

    from ..compat.checkpoints.settings import read_settings
    from ..tasks.latent_task import add_missing_options

    cfg = OmegaConf.create(read_settings(path)["cfg"])
    add_missing_options(cfg.model)
    name = ARCH_MODEL_NAME_REGISTRY.get(cfg.model._name, cfg.model._name)
    given: Any = OmegaConf.to_container(cfg.model, enum_to_str=True)
    known = {each.name for each in fields(MODEL_DATACLASS_REGISTRY[name])} - {"_name"}
    return name, {flag: value for flag, value in given.items() if flag in known}, int(cfg.common.seed)


def _description(trained, name: str, flags: Mapping[str, Any], seed: int):
    from ..portable.folder import Description

    places = {"encoder_embed_path": None}  # files of this machine
    task = trained.task
    return Description(
        name, {**flags, **{flag: places[flag] for flag in places if flag in flags}}, tuple(trained.model.max_positions()),
        bool(getattr(task, "reads_context", True)), seed, tuple(sorted(forbidden(task, trained.model))),
    )  # fmt: skip


def forbidden(task, model) -> list[int]:
    """Ids that the task never lets a model say."""
    return task.restrictions([model])[0] if hasattr(task, "restrictions") else []


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_weights(path: Path, state: Mapping[str, Any]) -> None:
    """Each tensor once, under its first name, however many parts share it."""
    try:
        from safetensors.torch import save_file
    except ImportError:
        raise missing_extra("safetensors", "lm") from None
    kept, seen = {}, set()
    for name, tensor in state.items():
        place = (tensor.data_ptr(), tensor.shape)
        if name.startswith(UNUSED) or name.endswith(MARKERS) or (tensor.numel() and place in seen):
            continue
        seen.add(place)
        kept[name] = tensor.detach().cpu().contiguous().clone()
    save_file(kept, str(path), {"format": "pt"})


def _write_persona(trained: Any, source: Source, folder: Path) -> None:
    """The language model as `fairseq-latent convert` writes it, and beside it what has no place in that form."""
    import torch

    from ..portable.folder import LATENTS
    from ..portable.persona import SPECIAL

    to_folder(str(source.path), str(source.data), folder)
    model, embedding = trained.model, trained.model.encoder.embedding
    of_body = {tensor.data_ptr() for tensor in model.decoder.body.state_dict().values()}
    beside = {
        name: tensor for name, tensor in model.state_dict().items()
        if name.startswith("encoder.") and ".embed_tokens." not in name and tensor.data_ptr() not in of_body
    }  # fmt: skip
    order, symbols = rows_of(trained.task.target_dictionary.symbols)
    places = torch.tensor([order[row] for row in symbols.values()])
    tables = [places, embedding.embed_tokens.whole()[places], embedding.embed_tokens.whole_output()[places]]
    _write_weights(folder / LATENTS, beside | dict(zip(SPECIAL, tables, strict=True)))


def _compare(trained, portable, path: str) -> None:
    """InputError unless both give the same prior, posterior and logits of made-up pairs."""
    import torch

    words = trained.task.target_dictionary
    source, previous, target = _made_up(words, portable.description)
    beside: dict[str, Any] = {}
    if getattr(trained.model, "posterior_inputs", ()):  # a profile, and how near to it the response is
        beside = {"partner_tokens": target, "similarity": torch.linspace(0, 1, len(target))}
    with torch.no_grad():
        found, expected = (
            each.distributions(source, previous, target, **beside) for each in (portable.network, trained.model)
        )
        z = expected[1].mean
        pairs = [(getattr(found[k], part), getattr(expected[k], part)) for k in (0, 1) for part in ("mean", "logvar")]
        pairs.append((found[2].logits(z), expected[2].logits(z)))
    for ours, theirs in pairs:
        if not ours.numel():
            continue
        off = float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1.0))
        if not off <= TOLERANCE:
            raise InputError(
                f"{path}: without fairseq this model computes something else (off by {off:.2g}): an option of its training "
                "has no portable form; remedy: a model trained without it"
            )


def _made_up(words, description):
    """Contexts (B, S), inputs (B, T) and responses (B, T) of random words."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    generator = torch.Generator().manual_seed(1)
    end = torch.tensor([words.eos()])

    def rows(lengths, longest: int):
        drawn = (torch.randint(len(words), (min(n, longest - 1),), generator=generator) for n in lengths)
        return [torch.cat([each.masked_fill(each < words.nspecial, words.unk()), end]) for each in drawn]

    sources = rows((pair[0] for pair in CHECKED), description.longest[0])
    targets = rows((pair[1] for pair in CHECKED), description.longest[1]) if description.answers else sources
    inputs = [torch.cat([end, row[:-1]]) for row in targets]
    return [pad_sequence(each, batch_first=True, padding_value=words.pad()) for each in (sources, inputs, targets)]
