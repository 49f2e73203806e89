"""Gaussian latents and codes: their heads, samples and scales, and how a decoder meets them."""
