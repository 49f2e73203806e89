"""A table of what was read, what was dropped and why, and what was kept; it adds up, or it is not printed."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Account:
    """One kind of thing: `read` of it, what became of those not kept, and those kept."""

    unit: str
    read: int
    dropped: Mapping[str, int]
    kept: int
    notes: Mapping[str, int] | None = None  # counts worth knowing that are no part of the sum

    def lines(self) -> list[str]:
        """Rows of name and number."""
        if self.read - sum(self.dropped.values()) != self.kept:
            raise AssertionError(f"{self.unit}: {self.read} read less {dict(self.dropped)} are not {self.kept}")
        rows = [(f"{self.unit} read", self.read)]
        rows += [(f"  - {reason}", count) for reason, count in self.dropped.items() if count]
        rows += [(f"  = {self.unit} kept", self.kept)]
        rows += [(f"    ({note})", count) for note, count in (self.notes or {}).items() if count]
        return [f"{name:<48}{count:>16,}" for name, count in rows]
