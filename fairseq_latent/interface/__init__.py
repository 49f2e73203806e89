"""A Python interface: `fairseq_latent.load(...)` gives a trained model that replies, scores and shows its latents."""

from ..portable.results import Latents, Reply, Scores
from .trained_model import TrainedModel, load

__all__ = ["Latents", "Reply", "Scores", "TrainedModel", "load"]
