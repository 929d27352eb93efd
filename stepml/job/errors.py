"""Every error that StepML raises by name.

The names are API: a failed Lambda function reports its exception's class name, and the ``Retry``
lists of ``state_machines/`` match it. ``tests/unit/deployment/`` compares the two.

::

    StepMLError
    ├── InvalidJobError            the job spec is wrong                            never retried
    │   ├── NotAvailableError      a choice that this deployment lacks              never retried
    │   │   ├── NotEnoughConcurrencyError  more workers than functions may run at once
    │   │   │                                                                        never retried
    │   │   └── NotEnoughServerMemoryError the parameter server has no room for the job
    │   │                                                                            never retried
    │   ├── InvalidCodeError       own code fails, or does something else       never retried
    │   │   ├── InvalidNetworkError    a network cannot be built, or does not suit  never retried
    │   │   └── CodeNotFoundError      no zip file at code, or none that may be read
    │   │                                                                            never retried
    │   └── ModelTooLargeError     too large for the functions, or to be shared with async
    │                                                                                never retried
    ├── InvalidTaskError           a handler received a wrong payload              never retried
    ├── JobIdTakenError            another execution owns this job id               never retried
    ├── InvalidDataError           the data are unsuitable for training            never retried
    │   ├── DataNotFoundError      no object at data.uri
    │   ├── DataDeniedError        the functions may not read it
    │   ├── EmptyDataError         no rows
    │   ├── BadRowError            a malformed row (object, line, content)
    │   ├── NotEnoughDataError     fewer rows than workers
    │   └── BadLabelError          labels that the model cannot learn
    ├── TrainingDivergedError      the loss is not a finite number                 never retried
    ├── DoubtfulResultError        a strict job has warnings                        never retried
    ├── CompressionError           a number does not fit float16                    never retried
    ├── ExecutorPausedError        out of time, progress saved                      retried at once
    ├── AttemptStoppedError        the function's execution has ended              never retried
    ├── PeerFailedError            another rank failed for good (carries its error) with its epoch
    ├── ReplicasDivergedError      ranks end an epoch with different states         with its epoch
    └── StorageError
        ├── StorageUnavailableError  the service failed or refused for now          retried
        │   └── StorageFullError       the service has no room                        with its epoch
        ├── WaitTimeoutError         values did not arrive (names their keys)       retried
        ├── DamagedValueError        a stored value is damaged                      with its epoch
        │   └── DataSetDamagedError    partitioned data are, and are parsed again    by RestoreData
        ├── MissingContributionError a rank has not contributed                     with its epoch
        ├── ReplayLostError          a rank cannot catch up with its peers          with its epoch
        ├── SharedModelLostError     the shared model of an async epoch is lost     with its epoch
        ├── KeyNotFoundError         nothing is stored under a key                  never retried
        ├── ValueChangedError        a value was replaced after its description     never retried
        └── StorageDeniedError       the role lacks the permission                  never retried

*Never retried*: no ``Retry`` list names it. *With its epoch*: the Task fails, and with it the
epoch's execution. ``RunEpoch`` starts every failed epoch once more. *By RestoreData*: the
damaged ranges are parsed again, before the state that failed, or before the epoch's next attempt.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self


class StepMLError(Exception):
    """Base of all errors that StepML raises on purpose."""


class InvalidJobError(StepMLError, ValueError):
    """The job spec is wrong; the message names the field, the choices and the value.

    Attributes
    ----------
    mistakes : tuple of str
        The mistakes, if the message lists several.
    """

    mistakes: tuple[str, ...] = ()

    @classmethod
    def of(cls, mistakes: Iterable[str]) -> Self:
        """Return the error that lists ``mistakes``, at least one, in one line."""
        found = tuple(mistakes)
        error = cls("; ".join(found))
        error.mistakes = found
        return error


class NotAvailableError(InvalidJobError):
    """The job spec, or a model, has a choice that this version or this deployment lacks."""


class NotEnoughConcurrencyError(NotAvailableError):
    """Ranks that wait for each other must all run at once, but the account runs fewer functions."""


class NotEnoughServerMemoryError(NotAvailableError):
    """The parameter server has no room for the job."""

    def __init__(self, needed_bytes: int, free_bytes: int, limit_bytes: int) -> None:
        wait = "" if needed_bytes > limit_bytes else "start it after other jobs have ended, or "
        super().__init__(
            f"exchange.channel 'parameter_server': the job needs {needed_bytes} bytes of the "
            f"server's memory, {free_bytes} of {limit_bytes} are free; {wait}start it with fewer "
            "workers, or give the server more memory (--memory-mb, or STEPML_PS_MEMORY_MB)"
        )


class ModelTooLargeError(InvalidJobError):
    """The model is too large for a function's memory, or for ranks to move it in turn."""


class InvalidCodeError(InvalidJobError):
    """Code of the user's own is damaged, fails or does something else; names the line in it."""


class InvalidNetworkError(InvalidCodeError):
    """A network cannot be built, or does not suit the rows; names the line in the user's code."""


class CodeNotFoundError(InvalidCodeError):
    """There is no object at ``code``, or the functions may not read it."""


class InvalidTaskError(StepMLError, ValueError):
    """A handler was called with another payload than its task."""


class JobIdTakenError(StepMLError):
    """The job id belongs to another execution, whose objects are still in the durable store."""


class InvalidDataError(StepMLError, ValueError):
    """The data are unsuitable for training."""


class DataNotFoundError(InvalidDataError):
    """There is no object at ``data.uri``."""


class DataDeniedError(InvalidDataError):
    """The functions' role may not read ``data.uri``."""


class EmptyDataError(InvalidDataError):
    """The data set has no rows."""


class BadRowError(InvalidDataError):
    """A row is malformed; the message names the object, the line and its content."""


class NotEnoughDataError(InvalidDataError):
    """The data set has fewer rows than the job needs."""


class BadLabelError(InvalidDataError):
    """The labels of the data set do not fit the model."""


class TrainingDivergedError(StepMLError, ArithmeticError):
    """The loss is not finite: the learning rate is too high for the data."""


class DoubtfulResultError(StepMLError):
    """A strict job has warnings, about its data or its model; a model that is trained is stored."""


class CompressionError(StepMLError, OverflowError):
    """A number does not fit float16; set ``exchange.compression`` to none."""


class ExecutorPausedError(StepMLError):
    """A rank stopped before its function's deadline; call it again to continue."""


class AttemptStoppedError(StepMLError):
    """The function's execution has ended, so its further work would be useless.

    No state receives this error: AWS ends executions, but not the functions that they have called.
    """


class PeerFailedError(StepMLError):
    """Another rank failed for good, and this one need not wait for it.

    Attributes
    ----------
    rank : int
        The rank that failed.
    error : str
        The name of its error's class.
    """

    def __init__(self, rank: int, error: str, message: str) -> None:
        self.rank = rank
        self.error = error
        super().__init__(f"rank {rank} failed: {error}: {message}")


class ReplicasDivergedError(StepMLError):
    """Ranks that applied the same aggregates end an epoch with different states."""


class StorageError(StepMLError):
    """Base of the errors of the storage layer."""


class StorageUnavailableError(StorageError):
    """The storage service failed or refused temporarily; the same call may succeed later.

    Attributes
    ----------
    is_read_only : bool
        The server is a replica, which refuses writes. If it is no fail-over, this will not pass.
    """

    is_read_only = False


class StorageFullError(StorageUnavailableError):
    """The service has no memory left for new values, even after a few seconds."""


class KeyNotFoundError(StorageError, KeyError):
    """Nothing is stored under the key."""

    __str__ = Exception.__str__  # KeyError shows its argument's repr


class ValueChangedError(StorageError):
    """A value has been replaced since it was described."""


class StorageDeniedError(StorageError, PermissionError):
    """The storage service refuses because the role lacks the permission."""


class WaitTimeoutError(StorageError, TimeoutError):
    """Awaited values did not arrive in time.

    Attributes
    ----------
    missing : tuple of str
        The keys that were still absent.
    """

    def __init__(self, missing: Iterable[str], timeout_s: float, why: str = "") -> None:
        self.missing = tuple(missing)
        names = ", ".join(self.missing)
        super().__init__(f"after {timeout_s:g} s still missing: {names}{why and f'; {why}'}")


class DamagedValueError(StorageError):
    """A stored value is damaged: its checksum, length or header is wrong."""


class DataSetDamagedError(DamagedValueError):
    """The partitioned data of a job are damaged or missing; they are parsed again."""


class MissingContributionError(StorageError):
    """Contributions of some ranks to a step are missing.

    Attributes
    ----------
    missing : tuple of int
        The ranks.
    """

    def __init__(self, missing: Iterable[int], step: str) -> None:
        self.missing = tuple(missing)
        ranks = ", ".join(map(str, self.missing))
        super().__init__(f"no contribution to {step} from rank {ranks}")


class ReplayLostError(StorageError):
    """A rank cannot catch up with its peers, because sums are lost; its epoch starts again."""


class SharedModelLostError(StorageError):
    """The channel has lost the shared model of an async epoch; the epoch starts again."""
