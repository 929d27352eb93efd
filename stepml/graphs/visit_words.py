"""A visit of a state, and an attempt of it, in words."""

from __future__ import annotations

from datetime import UTC, datetime

from stepml.graphs.marks import iterations_in_words
from stepml.records.visits import Visit
from stepml.reports.figures import count, duration
from stepml.reports.status_words import status_word


def clock(moment: datetime) -> str:
    """Return a time of day in UTC: ``12:03:11.250``."""
    moment = moment.astimezone(UTC)
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03}"


def seconds_text(seconds: float | None) -> str:
    """Return a duration for a cell of a table; "" while it goes on."""
    return "" if seconds is None else f"{seconds:,.2f}"


def visit_in_words(visit: Visit) -> str:
    """Return the outcome of a visit: ``failed after 3.2 s, entered at 12:03:11.250 UTC``."""
    took = "" if visit.seconds is None else f" after {duration(visit.seconds)}"
    parts = [f"{status_word(visit.status)}{took}", f"entered at {clock(visit.entered_at)} UTC"]
    if visit.work:
        parts.append(visit.work)
    if visit.iterations is not None:
        parts.append(iterations_in_words(visit.iterations))
    if len(visit.attempts) > 1:
        parts.append(count(len(visit.attempts), "attempt"))
    return ", ".join(parts)
