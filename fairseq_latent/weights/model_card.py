"""The card of an exported model: what it is, its data, training and scores; its head is what the Hub reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..evaluation.analysis.checkpoint import corpus_sizes
from ..evaluation.analysis.latent_statistics import COLUMNS, LatentStatistics, read_statistics
from ..evaluation.metrics.registry import SCORES
from ..evaluation.metrics.response_metrics import Score
from ..evaluation.metrics.score import measure_systems, read_named
from ..evaluation.runs.run_folder import CHECKPOINT, GENERATED, LATENTS_TEST, RunFolder
from ..evaluation.runs.training_config import changed, training_settings
from ..evaluation.tables import decimal, markdown_code
from .export import Source

CARD = "README.md"
TASKS = {"text_vae": "sentence reconstruction and sampling"}
LANGUAGES = ("en", "ja", "zh")
USE = """## Use

Without fairseq; torch, numpy, safetensors and the tokenizer's library are enough:

```python
from fairseq_latent import portable

model = portable.load("{folder}")
print(model.reply(["{said}"], n=3, beam=5))
```

`sample`, `decode`, `score` and `latents`: see `docs/portable.md` of fairseq_latent."""


@dataclass(frozen=True)
class Measured:
    """scores: of the responses to the test set, latents: of its pairs; None where the run folder has none."""

    scores: Mapping[str, Score] | None
    contexts: int
    latents: LatentStatistics | None


def measured(run: Path, language: str) -> Measured:
    """What `generate.test.txt` and `latents.test.json` of a run folder say."""
    scores, contexts = None, 0
    if (run / GENERATED).is_file():
        (row,) = (row for row in measure_systems(read_named([("it", str(run / GENERATED))]), language) if row.file)
        scores, contexts = row.scores, row.contexts
    latents = read_statistics(run / LATENTS_TEST) if (run / LATENTS_TEST).is_file() else None
    return Measured(scores, contexts, latents)


def write_card(source: Source, folder: Path, name: str, language: str, licence: str | None) -> None:
    """README.md of an exported folder."""
    settings = training_settings(source.path)
    found = measured(source.run, language)
    head = _head(name, settings.model, language, licence, source.data.name, found)
    about = TASKS.get(settings.task, "dialogue response generation")
    parts = [
        f"---\n{head}---",
        f"# {markdown_code(name)}",
        f"A latent-variable model ({markdown_code(settings.arch)}) for {about}, {settings.parameters:,} parameters, by "
        "[fairseq_latent](https://pypi.org/project/fairseq-latent/).",
        USE.format(folder=name, said="do you like winter ?"),
        _data(source),
        _training(source),
        _measured(found),
    ]
    if (folder / CARD).is_file():  # how the language model in the folder is fed, see `conversion`
        parts.append((folder / CARD).read_text("utf-8").strip().replace("# ", "## ", 1))
    (folder / CARD).write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _head(name: str, model: str, language: str, licence: str | None, data: str, found: Measured) -> str:
    import yaml

    head: dict[str, Any] = {
        "library_name": "fairseq-latent",
        "pipeline_tag": "text-generation",
        "tags": ["dialogue", "latent-variable-model", "variational-autoencoder", model.replace("_", "-")],
    }
    if language in LANGUAGES:
        head["language"] = [language]
    if licence:
        head["license"] = licence
    if values := [
        {"type": metric.lower(), "name": SCORES[metric].header, "value": round(score.value, 4)}
        for metric, score in (found.scores or {}).items()
    ]:
        results = {
            "task": {"type": "text-generation"}, "dataset": {"type": data, "name": data, "split": "test"}, "metrics": values,
        }  # fmt: skip
        head["model-index"] = [{"name": name, "results": [results]}]
    return yaml.safe_dump(head, sort_keys=False, allow_unicode=True)


def _data(source: Source) -> str:
    sizes = corpus_sizes(source.path, source.data)
    rows = [f"| {split} | {pairs:,} | {tokens:,} |" for split, (pairs, tokens) in sizes.items()]
    table = "\n".join(["| split | pairs | response tokens |", "| --- | ---: | ---: |", *rows])
    return f"## Data\n\n{markdown_code(source.data.name)}\n\n{table}"


def _training(source: Source) -> str:
    """The command where the recipes noted it, and all flags that are not the defaults."""
    settings = training_settings(source.path)
    noted = source.run / f"{CHECKPOINT}.command"
    command = RunFolder("it", source.run).made_by(CHECKPOINT) if noted.is_file() else None
    flags = {"arch": settings.arch, "task": settings.task, "criterion": settings.criterion, **settings.own}
    flags |= changed_flags(source.path)
    shown = "\n".join(f"--{flag.replace('_', '-')} {value}" for flag, value in flags.items())
    said = f"{settings.updates:,} updates. Flags that are not the defaults:"
    parts = [f"## Training\n\n{said}\n\n```text\n{shown}\n```"]
    return "\n\n".join(parts + ([f"The command:\n\n```text\n{command}\n```"] if command else []))


def changed_flags(path: Path) -> dict[str, str]:
    """The flags of model, optimiser, schedule and budget that are not the defaults."""
    from fairseq.dataclass.configs import FairseqConfig
    from fairseq.models import MODEL_DATACLASS_REGISTRY
    from fairseq.registry import REGISTRIES

    from ..compat.checkpoints.settings import read_settings

    cfg = read_settings(path)["cfg"]
    found: dict[str, str] = {}
    for group in ("model", "optimizer", "lr_scheduler", "optimization", "dataset", "common"):
        values = cfg.get(group)
        if not isinstance(values, Mapping):
            continue
        name = str(values.get("_name"))
        if group == "model":
            from fairseq.models import ARCH_MODEL_NAME_REGISTRY

            config = MODEL_DATACLASS_REGISTRY.get(ARCH_MODEL_NAME_REGISTRY.get(name, name))
        elif group in REGISTRIES:
            config = REGISTRIES[group]["dataclass_registry"].get(name)
            found[group] = name
        else:
            config = FairseqConfig.__dataclass_fields__[group].default
            config = config if isinstance(config, type) else type(config)
        found |= {
            flag: value for flag, value in changed(values, config).items() if flag not in HIDDEN and "${" not in value
        }
    return found


# places and ways to report, and what the machine decided
HIDDEN = (
    "user_dir", "log_file", "log_format", "log_interval", "tensorboard_logdir", "wandb_project", "num_workers", "cpu",
    "no_progress_bar", "tpu", "stop_time_hours", "max_tokens_valid", "batch_size_valid", "update_epoch_batch_itr",
    "encoder_embed_path", "gpt2_path", "lm_config", "data",
)  # fmt: skip


def _measured(found: Measured) -> str:
    lines = ["## Measured"]
    if found.scores:
        rows = [
            f"| {SCORES[name].header} | {decimal(score.value, SCORES[name].decimals)} | {SCORES[name].unit} | "
            f"{markdown_code(score.signature)} |"
            for name, score in found.scores.items()
        ]
        lines += [f"Responses to the {found.contexts:,} contexts of the test set:", _table(rows)]
    if found.latents:
        names = [name for name in COLUMNS if getattr(found.latents, name, None) is not None]
        rows = [
            f"| {COLUMNS[name].header} | {decimal(float(getattr(found.latents, name)), COLUMNS[name].decimals or 0)} | | |"
            for name in names
        ]
        lines += [
            f"Latents of the test set's pairs, {markdown_code(found.latents.signature)}:",
            _table(rows),
        ]
    if len(lines) == 1:
        lines.append(
            f"Nothing: the run folder has neither {markdown_code(GENERATED)} nor {markdown_code(LATENTS_TEST)}."
        )
    return "\n\n".join(lines)


def _table(rows: list[str]) -> str:
    return "\n".join(["| metric | value | unit | signature |", "| --- | ---: | --- | --- |", *rows])
