"""What all exchanges have in common: who takes part, and where things lie.

Every rank contributes to a step, somebody merges, everybody collects.

**Publish-once.** Contributions and aggregates are published, not saved: a repeated or zombie rank
gets the first value. BLAS results differ between thread counts and CPU kernels, so overwriting
could make ranks diverge in silence.
"""

from __future__ import annotations

from dataclasses import dataclass

from stepml.job import keys
from stepml.job.step import Step


@dataclass(frozen=True, slots=True)
class Group:
    """The workers of one run of a job."""

    prefix: str  # of all keys of this run: keys.exchange_prefix
    world_size: int  # number of workers

    def contribution(self, step: Step, rank: int, chunk: int) -> str:
        """Return the key of what ``rank`` contributes to a chunk."""
        return keys.contribution(self.prefix, step, chunk, rank)

    def contributions(self, step: Step, chunk: int) -> list[str]:
        """Return the keys of all contributions to a chunk, by rank."""
        return [self.contribution(step, rank, chunk) for rank in range(self.world_size)]

    def aggregate(self, step: Step, chunk: int) -> str:
        """Return the key of a chunk's sum."""
        return keys.aggregate(self.prefix, step, chunk)
