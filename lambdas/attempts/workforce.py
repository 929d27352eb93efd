"""The ranks of an epoch, started by one Inline Map or by one child execution for every 40."""

from __future__ import annotations

from dataclasses import dataclass

MAP_ITERATIONS = 40  # that an Inline Map runs at once


@dataclass(frozen=True, slots=True)
class Workforce:
    """The ranks of a job in an account that runs ``concurrency`` functions at once."""

    world_size: int
    concurrency: int
    all_at_once: bool = False  # ranks wait for each other; others may run in turns

    @property
    def ranks(self) -> list[int]:
        """The ranks that an epoch starts by itself; none if there are groups."""
        return [] if self._is_wide else [*range(self.world_size)]

    @property
    def groups(self) -> list[list[int]]:
        """The ranks that each child of an epoch starts; none if a Map has room for all."""
        firsts = range(0, self.world_size, MAP_ITERATIONS) if self._is_wide else ()
        return [[*range(n, min(n + MAP_ITERATIONS, self.world_size))] for n in firsts]

    @property
    def groups_at_once(self) -> int:
        """Groups at once: as many as have work."""
        if self.all_at_once:
            return MAP_ITERATIONS
        return max(1, min(MAP_ITERATIONS, self.concurrency // MAP_ITERATIONS))

    @property
    def ranks_at_once(self) -> int:
        """Iterations of a Map at once; more would only be throttled."""
        groups = 1 if self.all_at_once else self.groups_at_once
        return max(1, min(MAP_ITERATIONS, self.concurrency // groups))

    @property
    def _is_wide(self) -> bool:
        return self.world_size > MAP_ITERATIONS
