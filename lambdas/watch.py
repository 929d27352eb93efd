"""What a rank looks after while it trains and while it waits for its peers."""

from __future__ import annotations

import time

from lambdas.environment import Deadline
from lambdas.fences import fence_key, is_stopped, require_not_stopped
from stepml.job import keys
from stepml.job.documents import decode
from stepml.job.errors import ExecutorPausedError, PeerFailedError
from stepml.job.reports import Failure, Fence
from stepml.job.tasks import ExecutorTask
from storage import DurableStorage
from storage.base import Clock


class Watch:
    """Ends a rank's work when its attempt is over: stopped, failed, or done without this copy.

    Parameters
    ----------
    task : ExecutorTask
    storage : DurableStorage
    deadline : Deadline
    needs_peers : bool
        Whether the rank would wait in vain for one that has failed. Otherwise what it makes is of
        use to the next attempt, so it goes on.
    clock : Clock
    """

    INTERVAL_S = 2.0  # between looks at the durable store; each is three requests

    def __init__(
        self,
        task: ExecutorTask,
        storage: DurableStorage,
        deadline: Deadline,
        *,
        needs_peers: bool = True,
        clock: Clock = time,
    ) -> None:
        self._task = task
        self._storage = storage
        self._deadline = deadline
        self._clock = clock
        self._looked_at = clock.monotonic()
        self._fence = fence_key(task.job_id, task.attempt)
        self._failure = keys.failure(task.job_id, task.attempt)
        self._report = keys.epoch_report(task.job_id, task.epoch)
        watched = (self._fence, self._report, *([self._failure] if needs_peers else []))
        self._watched = [*watched]
        self.is_over = False  # nobody needs any more what this copy has published

    def __call__(self) -> None:
        """Look after the attempt during a wait.

        Raises
        ------
        AttemptStoppedError
            The execution has ended.
        PeerFailedError
            Another rank has failed for good.
        ExecutorPausedError
            Time is out; or the epoch went on without this copy, which would see that if it were
            called again.
        """
        if self._deadline.is_here():
            raise ExecutorPausedError(f"rank {self._task.rank} waited until its time was out")
        self.look_now_and_then()

    def is_time_to_pause(self) -> bool:
        """Look after the attempt between two batches; return whether the deadline is near."""
        self.look_now_and_then()
        return self._deadline.is_near()

    def look_now_and_then(self) -> None:
        """Look unless that was done a moment ago."""
        if self._clock.monotonic() - self._looked_at >= self.INTERVAL_S:
            self.look()

    def look(self) -> None:
        """Look now."""
        self._looked_at = self._clock.monotonic()
        found = self._storage.load_many(self._watched)
        if self._fence in found:
            fence = decode(found[self._fence], Fence, self._fence)
            self.is_over = is_stopped(self._task, fence)
            require_not_stopped(self._task, fence)
        if self._failure in found:
            failure = decode(found[self._failure], Failure, self._failure)
            raise PeerFailedError(failure.rank, failure.error, failure.message)
        if self._report in found:
            self.is_over = True
            raise ExecutorPausedError(f"epoch {self._task.epoch} went on without this copy")
