"""One file a task; importing it registers the task."""

from . import dialogue  # noqa: F401
