"""One file a paper; importing it registers its architectures."""

from . import t_cvae, t_spacefusion  # noqa: F401
