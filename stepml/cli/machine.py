"""Words errors of this machine: its disk, memory, permissions and environment."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from stepml.cli.errors import BadInputError, InternalError, LocalMachineError
from stepml.job.errors import StepMLError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_NO_HOME = "Could not determine home directory"


def as_stepml_error(error: Exception) -> StepMLError:
    """Return the error to show for ``error``: itself, or for one that nobody expected, a cause."""
    if isinstance(error, StepMLError):
        return error
    if isinstance(error, OSError):
        return LocalMachineError(worded(error))
    if isinstance(error, MemoryError):
        return LocalMachineError("this machine has too little memory for the command")
    if isinstance(error, UnicodeError):
        return BadInputError(f"a name or an argument is not valid text: {_one_line(error)}")
    if isinstance(error, RuntimeError) and _NO_HOME in str(error):
        return LocalMachineError(
            "there is no home directory: set HOME, or STEPML_STATE_DIR and STEPML_CACHE_DIR"
        )
    if (of_aws := _error_of_aws(error)) is not None:
        return of_aws
    return InternalError(
        f"{type(error).__name__}: {_one_line(error)}; this is a defect of StepML: please report it "
        "with its traceback, which STEPML_TRACEBACK=1 shows"
    )


def worded(error: OSError) -> str:
    """Return the file of ``error``, the reason and a remedy in one line."""
    place = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    return f"{place}{reason_of(error, _variable(error))}"


def reason_of(error: OSError, variable: str = "") -> str:
    """Return the reason of ``error``, and a remedy.

    ``variable`` moves the directory in which it occurred; empty for a place that the person chose.
    """
    reason = error.strerror or _one_line(error) or type(error).__name__
    return f"{reason}{_remedy(error, variable)}"


def is_full(error: OSError) -> bool:
    """Return whether a file system or a quota has no room."""
    return error.errno in _FULL


def _remedy(error: OSError, variable: str) -> str:
    if isinstance(error, IsADirectoryError):
        return "; give the name of a file"
    other_place = f"choose another place{variable and f' with {variable}'}"
    if is_full(error):
        return f"; free some space, or {other_place}"
    if variable or error.errno in _REFUSED:
        return f"; {other_place}"
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return "; close other programs, or raise the limit of open files (ulimit -n)"
    return ""


def _variable(error: OSError) -> str:
    """Return the variable that moves the directory in which the error occurred, if there is one."""
    if error.filename is None:
        return ""
    from stepml.datasets import cache_directory
    from stepml.state_directory import state_directory

    place = Path(os.fsdecode(error.filename))
    directories = {"STEPML_CACHE_DIR": cache_directory(), "STEPML_STATE_DIR": state_directory()}
    for variable, directory in directories.items():
        # A parent may be the one that cannot be made.
        if place in (directory, *directory.parents) or directory in place.parents:
            return variable
    return ""


def _error_of_aws(error: Exception) -> StepMLError | None:
    """Return the error for one of botocore's that no caller translated."""
    if "botocore" not in sys.modules:
        return None
    from stepml.client.connection import translated
    from stepml.records.errors import AccessError

    try:
        with translated(None):
            _raise(error)
    except AccessError as found:
        return found
    except Exception:  # the same error, which is none of botocore's
        return None
    return None


def _raise(error: Exception) -> None:
    raise error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
