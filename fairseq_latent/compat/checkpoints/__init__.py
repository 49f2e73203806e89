"""Work-arounds for checkpoints: what may be loaded, how their files are read and written, and what they must hold."""
