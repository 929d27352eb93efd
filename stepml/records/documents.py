"""Reads the documents of a job, wherever they come from."""

from __future__ import annotations

from typing import TypeVar

from stepml.job.documents import decode
from stepml.job.errors import DamagedValueError
from stepml.records.errors import ReportUnreadableError

T = TypeVar("T")


def read_document(content: bytes, kind: type[T], key: str, what: str) -> T:
    """Return the document in ``content``, or raise `ReportUnreadableError`."""
    try:
        return decode(content, kind, key)
    except DamagedValueError as error:
        raise ReportUnreadableError(
            f"{what} is of another version of StepML, or damaged: {error}"
        ) from None
