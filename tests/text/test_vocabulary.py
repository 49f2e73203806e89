"""Special tokens in the dictionaries of both tokenizers."""

import pytest
from fairseq.data import Dictionary

from fairseq_latent.symbols import EOT
from fairseq_latent.text.vocabulary import index_of


@pytest.mark.parametrize("word", ["<eot>", "\u2581<eot>"], ids=["gpt2", "sentencepiece"])
def test_the_end_of_a_turn_is_found(word):
    words = Dictionary()
    place = words.add_symbol(word)
    assert index_of(words, EOT) == place


def test_a_dictionary_may_lack_it():
    assert index_of(Dictionary(), EOT) == -1
