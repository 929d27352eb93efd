"""The record of why an attempt at an epoch failed: its peers and its user read it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from lambdas.documents import Documents
from lambdas.fences import look_at_fences
from stepml.job import keys
from stepml.job.errors import (
    AttemptStoppedError,
    ExecutorPausedError,
    PeerFailedError,
    StorageError,
    StorageUnavailableError,
    WaitTimeoutError,
)
from stepml.job.reports import Failure
from stepml.job.tasks import ExecutorTask
from storage import DurableStorage

MAX_MESSAGE_BYTES = 1024
# After these the state machine calls the rank again, or the first error is another rank's.
_PASSING = (
    AttemptStoppedError,
    ExecutorPausedError,
    PeerFailedError,
    StorageUnavailableError,
    WaitTimeoutError,
)


@contextmanager
def published_failure(task: ExecutorTask, storage: DurableStorage) -> Iterator[None]:
    """Publish an error that ends ``task`` for good, and let it go on; the first of all ranks wins.

    Without the record peers would wait for this rank until their time is out, and the user might
    see that instead of the cause. What a function fails of whose execution has ended is no cause
    of anything: behind it, the channel is cleared.

    Raises
    ------
    AttemptStoppedError
        The execution has ended.
    """
    try:
        yield
    except _PASSING:
        raise
    except Exception as error:
        with suppress(StorageError):  # what failed is more important than that this failed, too
            look_at_fences(task, storage)
            key = keys.failure(task.job_id, task.attempt)
            Documents(storage).publish(key, _failure(task, error))
        raise


def _failure(task: ExecutorTask, error: Exception) -> Failure:
    message = str(error).encode()[:MAX_MESSAGE_BYTES].decode(errors="ignore")
    return Failure(
        rank=task.rank,
        epoch=task.epoch,
        error=type(error).__name__,
        message=message,
        log_group=os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME", ""),
        log_stream=os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", ""),
    )
