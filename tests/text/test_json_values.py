"""Whatever is wrong with JSON is a ValueError."""

import pytest

from fairseq_latent.text.json_values import loads


def test_a_value():
    assert loads('{"a": [1, "é"]}') == loads('{"a": [1, "é"]}'.encode()) == {"a": [1, "é"]}


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a":' * 100_000, b"\xff", "9" * 5000])
def test_what_is_none(text):
    with pytest.raises(ValueError, match="."):
        loads(text)
