"""What a rank looks after while it waits for its peers."""

from __future__ import annotations

import time

from lambdas.environment import Deadline
from lambdas.failures import raise_failure_of_peer
from stepml.job import keys
from stepml.job.errors import ExecutorPausedError
from stepml.job.tasks import ExecutorTask
from storage import DurableStorage
from storage.base import Clock


class Watch:
    """Called while a rank waits: ends the wait if a peer has failed for good, or time is out."""

    INTERVAL_S = 2.0  # between looks at the durable store; each is a request

    def __init__(
        self, task: ExecutorTask, storage: DurableStorage, deadline: Deadline, clock: Clock = time
    ) -> None:
        self._task = task
        self._storage = storage
        self._deadline = deadline
        self._clock = clock
        self._looked_at = clock.monotonic()

    def __call__(self) -> None:
        if self._deadline.is_here():
            raise ExecutorPausedError(f"rank {self._task.rank} waited until its time was out")
        now = self._clock.monotonic()
        if now - self._looked_at >= self.INTERVAL_S:
            self._looked_at = now
            raise_failure_of_peer(self._task, self._storage)
            if self._storage.find_many([keys.epoch_report(self._task.job_id, self._task.epoch)]):
                raise ExecutorPausedError(f"epoch {self._task.epoch} went on without this copy")
