"""The special symbols of every corpus and model: the only list. Plain strings, so that `preprocess` can import them."""

BOS, PAD, EOS, UNK = "<s>", "<pad>", "</s>", "<unk>"

# Sentence ids shared by fairseq dictionaries and SentencePiece models.
RESERVED = (BOS, PAD, EOS, UNK)

EOT = "<eot>"  # end of turn: between the turns of a multi-turn context
EOU = "<eou>"  # end of utterance: between the messages of one turn, where a corpus keeps them apart

# What SentencePiece must not split.
USER_SYMBOLS = (EOT, EOU)


def plain(text: str) -> str:
    """Without the symbols between turns and sentences."""
    for symbol in USER_SYMBOLS:
        text = text.replace(symbol, " ")
    return text
