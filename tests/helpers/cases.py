"""The JSON oracles: values that the authors' code computed on made-up inputs, case by case."""

import json
from pathlib import Path

ORACLES = Path(__file__).parents[1] / "oracles"


def cases(name: str) -> list:
    """(name, inputs, expected) of each case, for pytest.mark.parametrize; `expected_reference`, a fault, is left out."""
    import pytest

    found = json.loads((ORACLES / f"{name}.json").read_text(encoding="utf-8"))["cases"]
    return [pytest.param(case["inputs"], case["expected"], id=case["name"]) for case in found]


def near(found, expected, tolerance: float = 1e-6) -> None:
    """Equal as far as float32 and numbers of eight digits go; lists, numbers or tensors."""
    import torch

    found, expected = torch.as_tensor(found).double(), torch.as_tensor(expected).double()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=tolerance)
