"""Words what nobody expected, so that a page says it instead of standing still."""

from __future__ import annotations

import logging
from collections.abc import Callable

from stepml.job.errors import StepMLError

LOG = logging.getLogger("stepml.console")
Worded = Callable[[Exception], StepMLError]


class ConsoleDefectError(StepMLError):
    """A defect of the console."""


def defect(error: Exception) -> StepMLError:
    """Return the error to show for ``error``; its traceback is in the log at level DEBUG."""
    if isinstance(error, StepMLError):
        return error
    LOG.debug("a defect", exc_info=error)
    return ConsoleDefectError(
        f"{type(error).__name__}: {error}; this is a defect of StepML: please report it with its "
        "traceback, which stepml console shows if STEPML_TRACEBACK=1 is set"
    )
