"""Problems of a definition, each with the place where it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

ERROR, WARNING = "ERROR", "WARNING"

INVALID_JSON = "INVALID_JSON_DESCRIPTION"
SCHEMA = "SCHEMA_VALIDATION_FAILED"
TARGET = "MISSING_TRANSITION_TARGET"
END = "MISSING_END_STATE"
NAME = "DUPLICATE_STATE_NAME"
NO_DOLLAR = "NO_DOLLAR"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem of a definition."""

    code: str
    message: str
    location: str  # "/States/Train/Next"; empty for the whole definition
    severity: str = ERROR  # or WARNING: the definition can be used

    def __str__(self) -> str:
        place = f" at {self.location}" if self.location else ""
        return f"{self.code}: {self.message}{place}"


Diagnostics = Iterator[Diagnostic]


def wrong(message: str, location: str) -> Diagnostic:
    """Return the error of a value that has not the form that its field needs."""
    return Diagnostic(SCHEMA, message, location)
