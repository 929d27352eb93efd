"""What a rank looks after while it trains and while it waits for its peers."""

from __future__ import annotations

import time
from typing import NoReturn

from lambdas.environment import Deadline
from lambdas.fences import fence_keys, has_job_ended, require_not_stopped
from stepml.job import keys
from stepml.job.documents import decode
from stepml.job.errors import AttemptStoppedError, ExecutorPausedError, PeerFailedError
from stepml.job.reports import Failure
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
        use to the next attempt: it goes on, and when it is stopped it saves how far it is.
    clock : Clock
    """

    INTERVAL_S = 2.0  # between looks at the durable store; each is four requests at most

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
        self._failure = keys.failure(task.job_id, task.attempt)
        self._report = keys.epoch_report(task.job_id, task.epoch)
        self._needs_peers = needs_peers
        self._watched = [*fence_keys(task), self._report]
        if needs_peers:
            self._watched.append(self._failure)
        self.is_over = False  # nobody needs any more what this copy has published
        self._stopped: AttemptStoppedError | None = None

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
        if self._deadline.is_over():
            raise ExecutorPausedError(f"rank {self._task.rank} waited until its time was out")
        self.look_now_and_then()

    def is_time_to_pause(self) -> bool:
        """Look after the attempt between two batches; return whether to come back.

        Raises
        ------
        AttemptStoppedError, PeerFailedError, ExecutorPausedError
            As in a wait, of a rank that needs its peers.
        """
        try:
            self.look_now_and_then()
        except AttemptStoppedError as error:
            if self._needs_peers:
                raise
            self._stopped = error
            return True
        return self._deadline.must_save()

    def pause(self, message: str) -> NoReturn:
        """Raise what made a rank come back before it was done.

        Raises
        ------
        AttemptStoppedError
            The execution has ended.
        ExecutorPausedError
            Time is out.
        """
        raise self._stopped or ExecutorPausedError(message)

    def look_now_and_then(self) -> None:
        """Look unless that was done a moment ago."""
        if self._clock.monotonic() - self._looked_at >= self.INTERVAL_S:
            self.look()

    def look(self) -> None:
        """Look now."""
        self._looked_at = self._clock.monotonic()
        found = self._storage.load_many(self._watched)
        self.is_over = self._report in found or has_job_ended(self._task, found)
        require_not_stopped(self._task, found)
        if self._failure in found:
            failure = decode(found[self._failure], Failure, self._failure)
            raise PeerFailedError(failure.rank, failure.error, failure.message)
        if self._report in found:
            raise ExecutorPausedError(f"epoch {self._task.epoch} went on without this copy")
