"""One file a paper; importing it registers its architectures."""

from . import gru_vae, t_cvae, t_spacefusion  # noqa: F401
