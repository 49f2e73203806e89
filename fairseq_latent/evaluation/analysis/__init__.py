"""What needs a checkpoint: latent statistics and samples, sweeps of the fader, perception, interpolation, ranking."""
