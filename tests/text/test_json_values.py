"""Whatever is wrong with JSON is a ValueError."""

import pytest

from fairseq_latent.text.json_values import OTHER_FORM, loads, number, whole


def test_a_value():
    assert loads('{"a": [1, "é"]}') == loads('{"a": [1, "é"]}'.encode()) == {"a": [1, "é"]}


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a":' * 100_000, b"\xff", "9" * 5000])
def test_what_is_none(text):
    with pytest.raises(ValueError, match="."):
        loads(text)


def test_numbers_are_such_as_arrays_hold():
    assert (number(1e300), number(2**62), whole(-5)) == (1e300, 2**62, -5)
    for read, value in ((number, 10**30), (whole, 2**63), (number, True), (number, float("nan")), (whole, 1.0)):
        with pytest.raises(OTHER_FORM):
            read(value)
