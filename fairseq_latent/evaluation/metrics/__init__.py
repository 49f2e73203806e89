"""Metrics: texts or numbers in, scores with intervals and signatures out; no model is loaded."""
