"""The errors of trackers."""

from __future__ import annotations

from stepml.job.errors import StepMLError


class TrackerError(StepMLError):
    """A tracker cannot be used: its place cannot be written, or its server does not answer."""
