"""Errors of the operating system, with the place that they concern."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def located(place: Path) -> Iterator[None]:
    """Name ``place`` in an OSError that names no file, such as that of a write to a full disk."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(place)
        raise
