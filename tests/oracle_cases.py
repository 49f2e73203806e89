"""Values that other code computed: see oracles/README.md."""

import json
from pathlib import Path

import torch

FOLDER = Path(__file__).parent / "oracles"


def cases(file: str) -> list[dict]:
    """The cases of FILE.json, each with `near(found, expected)`, which asserts equality within its tolerance."""
    return [
        {**case, "near": _near(case.get("tolerance", 0))}
        for case in json.loads((FOLDER / f"{file}.json").read_text(encoding="utf-8"))["cases"]
    ]


def name(case: dict) -> str:
    """For pytest's ids."""
    return case["name"]


def _near(tolerance: float):
    tolerance = max(tolerance, 1e-6)  # computed in float32, of numbers with eight digits

    def near(found, expected) -> None:
        torch.testing.assert_close(
            torch.as_tensor(found).double(), torch.as_tensor(expected).double(), rtol=1e-5, atol=tolerance
        )

    return near
