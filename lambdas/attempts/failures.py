"""The record of the first error of an attempt: its peers and its user read it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from lambdas.attempts.fences import Fences
from lambdas.job_store import JobStore
from stepml.job.errors import (
    AttemptStoppedError,
    ExecutorPausedError,
    PeerFailedError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
    WaitTimeoutError,
)
from stepml.job.reports import Failure
from stepml.job.tasks import EvaluationTask, ExecutorTask, ReducerTask

MAX_MESSAGE_BYTES = 1024
_Attempt = EvaluationTask | ExecutorTask | ReducerTask
# The state machine calls the rank again after these errors, or the cause is another rank's error.
_PASSING = (
    AttemptStoppedError,
    ExecutorPausedError,
    PeerFailedError,
    StorageUnavailableError,
    WaitTimeoutError,
)


@contextmanager
def published_failure(store: JobStore, task: _Attempt) -> Iterator[None]:
    """Publish an error that ends ``task`` for good, and raise it; the first one counts.

    Without the record, peers would wait for this rank until their time is out, and the user might
    see that instead of the cause. If the execution has already ended, nothing is published: its
    channel may be cleared, so the error would mislead.

    Raises
    ------
    AttemptStoppedError
        The execution has ended.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, _PASSING) and not isinstance(error, StorageFullError):
            raise
        with suppress(StorageError):  # the error matters more than a failure to record it
            Fences(store, task).look()
            store.failure(task.attempt).publish(_failure(task, error))
        raise


def _failure(task: _Attempt, error: Exception) -> Failure:
    message = str(error).encode()[:MAX_MESSAGE_BYTES].decode(errors="ignore")
    return Failure(
        rank=task.rank if isinstance(task, ExecutorTask) else None,
        epoch=task.epoch,
        error=type(error).__name__,
        message=message,
        log_group=os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME", ""),
        log_stream=os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", ""),
    )
