"""One reader per corpus: raw files in, conversations.jsonl out (`python -m preprocess.corpora NAME ...`)."""
