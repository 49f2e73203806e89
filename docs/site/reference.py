"""Pages that mkdocs makes when it builds: flags, out of the dataclasses, and the Python interfaces, out of docstrings."""

import logging
from dataclasses import MISSING, fields

INTERFACES = {
    "Python": "fairseq_latent.interface",
    "Models without fairseq": "fairseq_latent.portable.model",
    "Results": "fairseq_latent.portable.results",
    "Losses": "fairseq_latent.losses",
    "Gaussians": "fairseq_latent.gaussian",
    "Best of K": "fairseq_latent.selection",
}


def on_files(files, config):
    """mkdocs calls it with the pages that it found."""
    from mkdocs.structure.files import File

    for name, text in pages().items():
        files.append(File.generated(config, f"reference/{name}", content=text))
    return files


def pages() -> dict[str, str]:
    """File name -> Markdown."""
    interfaces = "\n\n".join(f"## {title}\n\n::: {module}" for title, module in INTERFACES.items())
    return {"flags.md": flags(), "interfaces.md": f"# Interfaces\n\n{interfaces}\n"}


def flags() -> str:
    """Of every task, architecture and criterion of this package, in the order of their names."""
    import fairseq_latent

    fairseq_latent.register()
    logging.getLogger().setLevel(logging.WARNING)  # fairseq's configuration sets it to DEBUG
    from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
    from fairseq.models import MODEL_DATACLASS_REGISTRY
    from fairseq.tasks import TASK_DATACLASS_REGISTRY

    parts = [
        "# Flags",
        "Of fairseq's own, `fairseq-train --help` has all; their ranges are checked, too, and not shown here.",
    ]
    for flag, registry in (
        ("--task", TASK_DATACLASS_REGISTRY),
        ("--arch", MODEL_DATACLASS_REGISTRY),
        ("--criterion", CRITERION_DATACLASS_REGISTRY),
    ):
        for name, kind in sorted(registry.items()):
            if kind.__module__.startswith("fairseq_latent."):
                parts.append(f"## {flag} {name}\n\n{table(kind)}")
    return "\n\n".join(parts) + "\n"


def table(kind: type) -> str:
    """The fields of a dataclass that have a help text."""
    rows = [row(each) for each in fields(kind) if each.metadata.get("help") and "${" not in str(each.default)]
    return "\n".join(["| flag | default | range | |", "| --- | --- | --- | --- |", *rows])


def row(field) -> str:
    """A line of it."""
    names = [f"--{field.name.replace('_', '-')}", field.metadata.get("argparse_alias")]
    shown = ", ".join(f"`{name}`" for name in names if name)
    default = "" if field.default in (MISSING, None) else f"`{getattr(field.default, 'value', field.default)}`"
    choices = [each.value for each in getattr(field.type, "__members__", {}).values()]
    allowed = " · ".join(f"`{choice}`" for choice in choices) or field.metadata.get("range", "")
    return " | ".join(["", shown, default, str(allowed), escaped(field.metadata["help"]), ""]).strip()


def escaped(text: str) -> str:
    """As a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
