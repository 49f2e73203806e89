"""Exported models without fairseq: torch, numpy, safetensors and the tokenizer's library are enough.

`fairseq-latent export RUN FOLDER` makes the folder; `load(FOLDER)` gives a model that replies, samples latents, decodes and
scores as the training's own.
"""

from .model import PortableModel, load
from .results import Latents, Reply, Scores

__all__ = ["Latents", "PortableModel", "Reply", "Scores", "load"]
