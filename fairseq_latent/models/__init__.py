"""One file a paper; importing it registers its architectures."""

from . import gru_vae, persona_cvae_gpt2, t_cvae, t_spacefusion  # noqa: F401
