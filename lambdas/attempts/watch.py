"""The watch of a rank: while it trains and while it waits, it sees whether its attempt is over."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import Enum

from lambdas.attempts.fences import Fences
from lambdas.attempts.timing import STANDARD
from lambdas.environment import Deadline
from lambdas.job_store import JobStore
from stepml.job.errors import AttemptStoppedError, ExecutorPausedError, PeerFailedError
from stepml.job.stopwatch import timed
from stepml.job.tasks import ExecutorTask
from storage.base import Buffer, Clock


class Verdict(Enum):
    """Whether a rank may go on with the next batch."""

    GO_ON = "go on"
    PAUSE = "pause"  # the time is up: save the progress and come back
    STOP = "stop"  # the execution has ended


class Watch:
    """Looks at the durable store now and then.

    Parameters
    ----------
    store : JobStore
    task : ExecutorTask
    deadline : Deadline
    for_failures : bool
        Whether a failed peer ends this rank's work, as it would wait for that peer in vain.
    interval_s : float
        Shortest time between two looks.
    clock : Clock

    Attributes
    ----------
    is_over : bool
        Whether nobody needs this rank's published values any more.
    """

    def __init__(
        self,
        store: JobStore,
        task: ExecutorTask,
        deadline: Deadline,
        *,
        for_failures: bool = True,
        interval_s: float = STANDARD.watch_interval_s,
        clock: Clock = time,
    ) -> None:
        self._store = store
        self._task = task
        self._deadline = deadline
        self._interval_s = interval_s
        self._clock = clock
        self._fences = Fences(store, task)
        self._report = store.report(task.epoch).key
        self._failure = store.failure(task.attempt)
        self._watched = [*self._fences.keys, self._report]
        if for_failures:
            self._watched.append(self._failure.key)
        self._looked_at = clock.monotonic()
        self.is_over = False

    def __call__(self) -> None:
        """Check during a wait that it makes sense to go on waiting.

        Raises
        ------
        AttemptStoppedError
            The execution has ended.
        PeerFailedError
            Another rank has failed for good.
        ExecutorPausedError
            The time is up, or the epoch went on without this copy of the rank.
        """
        if self._deadline.is_over():
            raise ExecutorPausedError(f"rank {self._task.rank} waited until its time was out")
        self.look_now_and_then()

    def must_pause(self) -> bool:
        """Return whether the time is up, between two batches; errors as of a wait."""
        self.look_now_and_then()
        return self._deadline.must_save()

    def verdict(self) -> Verdict:
        """Like `must_pause`, for a rank that saves its progress even if the execution has ended."""
        try:
            return Verdict.PAUSE if self.must_pause() else Verdict.GO_ON
        except AttemptStoppedError:
            return Verdict.STOP

    def look_now_and_then(self) -> None:
        """Look, unless the last look was a moment ago."""
        if self._clock.monotonic() - self._looked_at >= self._interval_s:
            self.look()

    def look(self) -> None:
        """Look now; errors as of a wait."""
        self._looked_at = self._clock.monotonic()
        with timed("other"):
            found = self._store.storage.load_many(self._watched)
        self.is_over = self._report in found or self._fences.has_job_ended(found)
        self._fences.require_open(found)
        self._require_no_failure(found)
        if self._report in found:
            raise ExecutorPausedError(f"epoch {self._task.epoch} went on without this copy")

    def _require_no_failure(self, found: Mapping[str, Buffer]) -> None:
        failure = self._failure.read(found)
        if failure is not None and failure.rank is not None:
            raise PeerFailedError(failure.rank, failure.error, failure.message)
