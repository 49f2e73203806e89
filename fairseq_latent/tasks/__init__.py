"""One file a task; importing it registers the task."""

from . import dialogue, persona_dialogue, persona_receiver, self_play, text_vae  # noqa: F401
