"""Language models of `transformers` as decoders: their weights, their words, latents among their vectors."""
