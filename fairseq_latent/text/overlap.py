"""The words that two texts share, as ParlAI counts them: tables report it, and self-play is validated by it."""

import re
from collections import Counter

PUNCTUATION = re.compile(r"""[!"#$%&()*+,\-./:;<=>?@\[\]\\^`{|}~_']""")
ARTICLES = re.compile(r"\b(a|an|the)\b")
ARTICLE_WORDS = frozenset(("a", "an", "the"))
SPACES = str.maketrans({mark: " " for mark in map(chr, range(128)) if PUNCTUATION.match(mark)})


def unigram_f1(hypothesis: str, reference: str) -> float:
    """Harmonic mean of unigram precision and recall after ParlAI's normalisation; 0 without a common word."""
    guess, gold = (normalised(text) for text in (hypothesis, reference))
    common = sum((Counter(guess) & Counter(gold)).values())
    return 2 * common / (len(guess) + len(gold)) if common else 0.0


def normalised(text: str) -> list[str]:
    """ParlAI's words of a text: lower case, ASCII punctuation to spaces, without articles."""
    if text.isascii() and text.isprintable():  # the same in a third of the time
        return [word for word in text.lower().translate(SPACES).split() if word not in ARTICLE_WORDS]
    return ARTICLES.sub(" ", PUNCTUATION.sub(" ", text.lower())).split()
