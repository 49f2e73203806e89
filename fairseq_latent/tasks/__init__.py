"""One file a task; importing it registers the task."""

from . import dialogue, persona_dialogue, text_vae  # noqa: F401
