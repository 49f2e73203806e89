"""Latent-variable dialogue models for fairseq: the package behind `--user-dir fairseq_latent`.

Importing it registers every task, model and criterion, silently. Where fairseq is not loaded yet, registration waits
until it is: `fairseq-latent score`, `doctor` and `preprocess` then start in a moment and need neither torch nor fairseq.
"""

import importlib.abc
import importlib.util
import sys

__version__ = "0.2.0"


def register() -> None:
    """Patch fairseq (`compat`), then register all tasks, models and criterions; a second call does nothing."""
    import fairseq  # noqa: F401  first: while the finder below waits, this import registers

    from .compat import patches

    patches.apply()
    from . import criterions, models, tasks  # noqa: F401


def load(path, data=None, **options):
    """A trained model that replies, scores and shows its latents: see `fairseq_latent.interface.load`."""
    from .interface import load

    return load(path, data, **options)


class _RegisterAfterFairseq(importlib.abc.MetaPathFinder):
    """Registers as soon as somebody's `import fairseq` has finished."""

    def find_spec(self, name, path=None, target=None):
        if name != "fairseq":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_then_register(module):
                execute(module)
                register()

            spec.loader.exec_module = execute_then_register
        return spec


if "fairseq" in sys.modules:
    register()
else:
    sys.meta_path.insert(0, _RegisterAfterFairseq())
