"""What the state machines hand to each function, and what the functions hand back.

States carry keys and scalars only (Step Functions limits them to 256 KiB); everything larger lies
in the durable store under ``keys``.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

import msgspec
from msgspec import Meta

from stepml.job.errors import InvalidTaskError

Epoch = Annotated[int, Meta(ge=1)]
Rank = Annotated[int, Meta(ge=0)]


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all tasks and results: an immutable JSON object with known fields."""

    @classmethod
    def from_event(cls, event: object) -> Self:
        """Return the task that a Lambda ``event`` states, or raise `InvalidTaskError`."""
        try:
            return msgspec.convert(event, cls)
        except msgspec.ValidationError as error:
            raise InvalidTaskError(f"{cls.__name__}: {error}") from None

    def to_event(self) -> dict[str, Any]:
        """Return the result as the JSON object that a handler returns."""
        built = msgspec.to_builtins(self)
        assert isinstance(built, dict)
        return built


class PrepareTask(Event, frozen=True, kw_only=True):
    """Check a job and claim its id."""

    job: Any  # the execution input, not checked yet
    job_id: str  # the execution's name
    execution_arn: str
    started_at: str  # the execution's start, ISO 8601


class Progress(Event, frozen=True, kw_only=True):
    """Where the loop over epochs is; ``train.asl.json`` replaces it after each epoch."""

    next_epoch: Epoch


class JobState(Event, frozen=True, kw_only=True):
    """What travels through ``train.asl.json``."""

    job_id: str
    ranges: list[int]  # range tasks to do; none if the data set is partitioned already
    parquet_ranges: list[int]  # the same for the function that reads parquet; one list is empty
    shards: list[int]  # ranks, and keys.VALIDATION
    ranks: list[int]
    chunks: list[int]  # merged by functions of their own after the ranks; none: Reduce merges
    progress: Progress
    epoch_timeout_s: int  # an epoch that takes longer has failed


class PartitionTask(Event, frozen=True, kw_only=True):
    """Parse one range of the data."""

    job_id: str
    range: Annotated[int, Meta(ge=0)]


class JobTask(Event, frozen=True, kw_only=True):
    """A task that needs to know the job only: plan the shards, initialise the model."""

    job_id: str


class AssembleTask(Event, frozen=True, kw_only=True):
    """Make one shard."""

    job_id: str
    rank: Annotated[int, Meta(ge=-1)]  # keys.VALIDATION: the validation shard


class ExecutorTask(Event, frozen=True, kw_only=True):
    """Train one rank for one epoch."""

    job_id: str
    epoch: Epoch
    rank: Rank
    attempt: Annotated[str, Meta(min_length=1, max_length=80)]  # name of the epoch's execution


class ExecutorResult(Event, frozen=True, kw_only=True):
    """What is kept of a rank's Task in the state of the epoch: slim, 1,600 of them must fit."""

    rank: int
    seconds: float  # in the handler
    digest: str = ""  # of the rank's replica at the end, if the epoch is exchanged in flight


class MergerTask(Event, frozen=True, kw_only=True):
    """Merge one chunk of what the ranks contributed to an epoch."""

    job_id: str
    epoch: Epoch
    chunk: Annotated[int, Meta(ge=0)]


class ReducerTask(Event, frozen=True, kw_only=True):
    """Merge an epoch, evaluate, decide."""

    job_id: str
    epoch: Epoch
    attempt: str  # the name of the epoch's execution
    started_at: str  # the epoch's start, ISO 8601
    executors: list[ExecutorResult]


class FinaliseTask(Event, frozen=True, kw_only=True):
    """Write the model artifact and the report."""

    job_id: str
    epoch: Epoch  # the last one
    started_at: str  # the job's start, ISO 8601


class TriggerTask(Event, frozen=True, kw_only=True):
    """Start a job."""

    job: Any  # the job spec
    name: str | None = None  # run name; none: made from the time


class TriggerResult(Event, frozen=True, kw_only=True):
    """The job that was started."""

    job_id: str
    execution_arn: str
