"""Candidate responses to a context, the best first: what `--rerank` does with the N that were decoded."""
