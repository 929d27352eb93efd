"""Step Functions ends an execution at 25,000 events: the share of each part of a job.

Some events are left for redrives, and each epoch has twice the events that it needs, so that all
of them may be retried.
"""

from __future__ import annotations

HISTORY_EVENTS = 24_000
EVENTS_AN_EPOCH = 18
EVENTS_AN_ITERATION = 8  # of a Map; a few of them may be retried


def epochs_beside(iterations: int) -> int:
    """Return the epochs of an execution whose Maps have had ``iterations`` before."""
    return (HISTORY_EVENTS - iterations * EVENTS_AN_ITERATION) // EVENTS_AN_EPOCH


def iterations_again(iterations: int) -> int:
    """Return the iterations that may be repeated after ``iterations``.

    They take the half of the epochs' events that only retried epochs need.
    """
    return (HISTORY_EVENTS // EVENTS_AN_ITERATION - iterations) // 2
