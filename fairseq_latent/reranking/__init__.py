"""Candidate responses to a context, the best first: what `--rerank` does with the N that were decoded."""

KINDS = ("none", "mmi", "relevance", "lm", "oracle")
WITH_MODEL = {
    "mmi": "a checkpoint of a reverse model, trained with --source-lang tgt --target-lang src",
    "relevance": "the folder of a sentence encoder, e.g. of fairseq-latent weights minilm FOLDER",
    "lm": "the folder of a language model, e.g. of fairseq-latent weights smollm2 FOLDER",
}
