"""Text: tokenizers of data folders and of language models, the words that metrics count, word vectors, similarity."""
