"""Print `bfloat16` where this machine multiplies bfloat16 matrices much faster than float32 ones, else `none`: --autocast.

Measured, not looked up: which processors have units for it, and how good they are, changes from year to year.
"""

import os
import time

WORTH_IT = 1.5  # casting costs, too
SHAPES = ((1024, 512), (512, 2048))
FEW_ROWS = 16  # for a first look: where bfloat16 is only imitated, a large product takes seconds


def faster() -> float:
    """How many times as fast a product in bfloat16 is, the best of several tries each."""
    ratio = _ratio(FEW_ROWS, tries=3)
    return ratio if ratio < 1 / WORTH_IT else _ratio(SHAPES[0][0], tries=20)


def _ratio(rows: int, tries: int) -> float:
    """The same with so many rows."""
    import torch

    on_gpu = torch.cuda.is_available() and os.environ.get("FAIRSEQ_LATENT_DEVICE") != "cpu"
    device = "cuda" if on_gpu else "cpu"
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        one, other = (torch.randn(shape, device=device).to(dtype) for shape in ((rows, SHAPES[0][1]), SHAPES[1]))
        times = []
        for _ in range(tries):
            start = time.perf_counter()
            (one @ other)[0, 0].item()  # waits for a GPU
            times.append(time.perf_counter() - start)
        seconds[dtype] = min(times)
    return seconds[torch.float32] / seconds[torch.bfloat16]


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    print("bfloat16" if faster() >= WORTH_IT else "none")
