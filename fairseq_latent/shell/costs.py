"""What a training cost, noted beside its checkpoints: processor hours and peak memory."""

import json
import resource
import sys
from contextlib import suppress
from pathlib import Path

from fairseq_latent.files import written_whole

COST = "cost.json"
KIBIBYTES = 1 if sys.platform == "darwin" else 1024  # bytes of the system's unit


def begun(folder: str, anew: bool) -> dict[str, float | None]:
    """What the run cost before this start; the note is gone until the start has ended, so that a killed one leaves none.

    anew: nothing is trained yet. CPU hours are None where a start was killed.
    """
    note = Path(folder, COST)
    cost: dict[str, float | None] = {"cpu_hours": 0.0 if anew else None, "peak_mib": 0.0}
    with suppress(OSError, ValueError):
        if not anew:
            cost = json.loads(note.read_text(encoding="utf-8"))
    note.unlink(missing_ok=True)
    return cost


def ended(folder: str, before: dict[str, float | None]) -> None:
    """Add what this process's children, of which the training is the only one, have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    hours, peak = (used.ru_utime + used.ru_stime) / 3600, used.ru_maxrss * KIBIBYTES / 2**20
    earlier = before.get("cpu_hours")
    cost = {
        "cpu_hours": None if earlier is None else round(earlier + hours, 4),
        "peak_mib": round(max(before.get("peak_mib") or 0.0, peak)),
    }
    with written_whole(Path(folder, COST)) as file:
        file.write(json.dumps(cost) + "\n")
