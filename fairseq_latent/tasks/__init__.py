"""One file a task; importing it registers the task."""

from . import dialogue, text_vae  # noqa: F401
