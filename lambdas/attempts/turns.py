"""Turns of jobs whose ranks need their functions at the same time.

Ranks that wait for each other hold functions meanwhile. Two such jobs can each hold a part of the
account's functions and wait for the rest, until both fail. So a rank whose peers do not come
returns its function and takes the turn for its job. Until the turn is over, ranks of other jobs
that are called again return their functions at once. Jobs that find enough functions never look.
Between two turns of a job there is as much time for the others: it may wait for functions that no
turn can give.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from lambdas.attempts.fences import moment
from lambdas.job_store.entries import Entry, document
from stepml.job import keys
from stepml.job.errors import WaitTimeoutError
from storage import DurableStorage

TURN_S = 120.0  # the ranks that were throttled come within a minute


class Turn(msgspec.Struct, frozen=True):
    """The job that gets the account's functions first."""

    job_id: str
    until: str  # ISO 8601


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Turns:
    """The turns, as one job sees them."""

    storage: DurableStorage
    job_id: str
    now: Callable[[], datetime] = _now

    def take(self) -> Turn:
        """Take the turn if it is free; return the one that counts."""
        return self._entry.replace(self._turn(TURN_S), unless=self._is_taken)

    def require(self) -> None:
        """Raise `WaitTimeoutError` while another job has the turn."""
        found = self._entry.read_whole(self.storage.load_many([self._entry.key]))
        if found is not None and self._is_of_another(found):
            raise WaitTimeoutError(
                ["functions for all ranks"],
                0,
                f"job {found.job_id!r} gets the account's functions first until {found.until}",
            )

    def end(self) -> None:
        """Give the turn back if this job has it."""
        found = self._entry.read_whole(self.storage.load_many([self._entry.key]))
        if found is not None and found.job_id == self.job_id:
            self._entry.replace(self._turn(0), unless=lambda stored: stored != found)

    def _turn(self, seconds: float) -> Turn:
        return Turn(self.job_id, (self.now() + timedelta(seconds=seconds)).isoformat())

    def _is_taken(self, turn: Turn) -> bool:
        pause_s = TURN_S if turn.job_id == self.job_id else 0
        return moment(turn.until) + timedelta(seconds=pause_s) > self.now()

    def _is_of_another(self, turn: Turn) -> bool:
        return turn.job_id != self.job_id and moment(turn.until) > self.now()

    @property
    def _entry(self) -> Entry[Turn]:
        return document(self.storage, keys.functions_turn(), Turn)
