"""Small documents of a job: who owns it, and how far it is."""

from __future__ import annotations

import msgspec
import xxhash

from stepml.job.parts import FunctionTimes


class Claim(msgspec.Struct, frozen=True):
    """The execution that owns a job id."""

    execution_arn: str
    started_at: str  # ISO 8601; names return after 90 days, start times do not

    @property
    def run(self) -> str:
        """A name that no other run of the job id has; it is part of the run's keys."""
        return xxhash.xxh3_64_hexdigest(f"{self.execution_arn} {self.started_at}".encode())


class Mark(msgspec.Struct, frozen=True):
    """A value whose existence says everything."""


class PausedTimes(msgspec.Struct, frozen=True):
    """The times of a rank's calls in an attempt so far: its Task calls it again."""

    attempt: str
    times: FunctionTimes


class Resumed(msgspec.Struct, frozen=True):
    """A sign that a job goes on, for those who clean up behind an earlier part of it."""

    at: str  # ISO 8601: begin of the last attempt that was not an epoch's first one


class MergedEpoch(msgspec.Struct, frozen=True):
    """The end of an epoch whose state is not evaluated yet."""

    n_slices: int  # of the validation rows
    training_loss: float
    cost_usd: float  # of the function that merged
    staleness_mean: float | None = None
    staleness_max: int | None = None
    lost_updates: int | None = None
    times: str = ""  # packed, of that function
