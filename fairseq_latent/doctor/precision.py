"""Print `bfloat16` where this machine multiplies bfloat16 matrices much faster than float32 ones, else `none`: --autocast.

Measured, not looked up: which processors have units for it, and how good they are, changes from year to year.
"""

import os
import time

WORTH_IT = 1.5  # casting costs, too
SHAPES = ((1024, 512), (512, 2048))


def faster() -> float:
    """How many times as fast a product in bfloat16 is, the best of several tries each."""
    import torch

    on_gpu = torch.cuda.is_available() and os.environ.get("FAIRSEQ_LATENT_DEVICE") != "cpu"
    device = "cuda" if on_gpu else "cpu"
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        one, other = (torch.randn(shape, device=device).to(dtype) for shape in SHAPES)
        tries = []
        for _ in range(20):
            start = time.perf_counter()
            (one @ other)[0, 0].item()  # waits for a GPU
            tries.append(time.perf_counter() - start)
        seconds[dtype] = min(tries)
    return seconds[torch.float32] / seconds[torch.bfloat16]


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    print("bfloat16" if faster() >= WORTH_IT else "none")
