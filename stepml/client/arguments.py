"""Checks the arguments of calls before a service is asked."""

from __future__ import annotations

from operator import index
from typing import Any

from stepml.job.spec_base import listed
from stepml.records.errors import InvalidArgumentError

STATUSES = ("RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")


def checked_text(name: str, value: Any) -> str:
    """Return ``value`` if it is text, or raise `InvalidArgumentError`."""
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{name}: expected text, got {value!r}")
    return value


def checked_status(value: str | None) -> str | None:
    """Return a status as AWS names it, in capitals, or raise `InvalidArgumentError`."""
    if value is None:
        return None
    found = value.upper() if isinstance(value, str) else value
    if found not in STATUSES:
        raise InvalidArgumentError(f"status: expected {listed(STATUSES)}, got {value!r}")
    return found


def checked_count(name: str, value: Any, least: int) -> int:
    """Return an integer of at least ``least``, or raise `InvalidArgumentError`."""
    found = integer(value)
    if found is None or found < least:
        raise InvalidArgumentError(
            f"{name}: expected an integer of at least {least}, got {value!r}"
        )
    return found


def integer(value: Any) -> int | None:
    """Return an integer, also of NumPy, or None for any other value."""
    try:
        return None if isinstance(value, bool) else index(value)
    except TypeError:
        return None


def checked_timeout(timeout_s: Any) -> float | None:
    """Return seconds of at least 0, or None, or raise `InvalidArgumentError`."""
    if timeout_s is None:
        return None
    if isinstance(timeout_s, int | float) and timeout_s >= 0:
        return float(timeout_s)
    raise InvalidArgumentError(
        f"timeout_s: expected seconds of at least 0, or None, got {timeout_s!r}"
    )
