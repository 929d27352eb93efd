"""The errors of trackers."""

from __future__ import annotations

from importlib.util import find_spec

from stepml.job.errors import StepMLError
from stepml.job.installing import install_command


class TrackerError(StepMLError):
    """A tracker cannot be used: its library is missing, or its place cannot be written."""


def require_library(name: str, extra: str) -> None:
    """Raise `TrackerError` unless the library ``name`` of an extra is installed."""
    if find_spec(name) is None:
        raise TrackerError(f"{name} is not installed; install it with: {install_command(extra)}")
