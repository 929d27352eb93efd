"""Exit codes, and the errors of the command line itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from stepml.cli import INTERRUPTED as INTERRUPTED
from stepml.job.errors import InvalidDataError, InvalidJobError, StepMLError
from stepml.records.errors import (
    AccessError,
    ExecutionNotFoundError,
    InvalidArgumentError,
    RetryRefusedError,
    RunNameTakenError,
    UploadRefusedError,
)

JOB_FAILED = 1
BAD_INPUT = 2
NO_SERVICE = 3
DOUBTFUL = 4
INTERNAL = 70  # as in sysexits.h
CLOSED_PIPE = 141  # as a program that SIGPIPE ends

EXIT_CODES = (
    "Exit codes: 0 the job succeeded, 1 it failed, 2 bad input, 3 the service cannot be reached, "
    "the stack is missing or this machine refuses (disk, memory), 4 a strict job has warnings, "
    "130 Ctrl-C."
)
LOOKING_EXIT_CODES = (
    "Exit codes: 0 done, 2 bad input, 3 the service cannot be reached, the stack is missing or "
    "this machine refuses."
)


class BadInputError(StepMLError):
    """An argument of the command is invalid."""


class LocalMachineError(StepMLError):
    """This machine refuses: its disk, memory, permissions or environment."""


class InternalError(StepMLError):
    """A defect of StepML."""


class LocalAwsFailedError(AccessError):
    """The local AWS is not installed, did not start or did not deploy."""


_BAD_INPUT = (
    BadInputError,
    ExecutionNotFoundError,
    InvalidArgumentError,
    InvalidDataError,
    InvalidJobError,
    RetryRefusedError,
    RunNameTakenError,
    UploadRefusedError,
)


def require_linux() -> None:
    """Raise `LocalAwsFailedError` on systems on which the local AWS does not run."""
    from stepml.local.system import UnsupportedSystemError
    from stepml.local.system import require_linux as require

    try:
        require(sys.platform)
    except UnsupportedSystemError as error:
        raise LocalAwsFailedError(str(error)) from error


@contextmanager
def local_aws_errors() -> Iterator[None]:
    """Translate errors of the local AWS into errors of the command line."""
    require_linux()
    from stepml.local.daemon import KeepError, LocalAwsError, NetworkError

    try:
        yield
    except NetworkError as error:
        raise BadInputError(f"--network: {error}") from error
    except KeepError as error:
        raise BadInputError(f"--keep: {error}") from error
    except LocalAwsError as error:
        raise LocalAwsFailedError(str(error)) from error


def exit_code(error: StepMLError) -> int:
    """Return the exit code for ``error``.

    No error means that a job has failed: `stepml.cli.following` looks at the job.
    """
    if isinstance(error, InternalError):
        return INTERNAL
    return BAD_INPUT if isinstance(error, _BAD_INPUT) else NO_SERVICE
