"""A point of exchange."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """A point at which the ranks of a job exchange."""

    epoch: int  # from 1
    batch: int = 0  # from 1; 0 if an epoch has one exchange

    def __str__(self) -> str:
        return f"epoch {self.epoch}" + (f", batch {self.batch}" if self.batch else "")
