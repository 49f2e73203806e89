"""The JSON oracles: values that the authors' code computed on made-up inputs, case by case."""

import json
from pathlib import Path

ORACLES = Path(__file__).parent / "oracles"


def cases(name: str) -> list:
    """(name, inputs, expected) of each case, for pytest.mark.parametrize; `expected_reference`, a fault, is left out."""
    import pytest

    found = json.loads((ORACLES / f"{name}.json").read_text(encoding="utf-8"))["cases"]
    return [pytest.param(case["inputs"], case["expected"], id=case["name"]) for case in found]
