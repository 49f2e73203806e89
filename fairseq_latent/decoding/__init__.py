"""Decoding that fairseq lacks: per-example sampling, several latents per context, competing beams; and what is refused."""
