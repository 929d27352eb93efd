"""Mistakes in the text of a job, in words."""

from __future__ import annotations

from stepml.job.errors import InvalidJobError
from stepml.job.json_text import excerpt


class TextMistakeError(Exception):
    """A text is not in its format.

    Parameters
    ----------
    reason : str
    line, column : int
        From 1; 0: unknown.
    """

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        super().__init__(reason)
        self.reason, self.line, self.column = reason, line, column

    def in_job(self, text: str, kind: str, file: str) -> InvalidJobError:
        """Return the error about the job with this text, of the format ``kind``.

        Its note is the line of the mistake, with a caret below the place.
        """
        at = f"line {self.line}, column {self.column}: " if self.line else ""
        there = f"{file!r}: " if file else ""
        error = InvalidJobError(f"the job cannot be read as {kind}: {there}{at}{self.reason}")
        lines = text.split("\n")
        if 0 < self.line <= len(lines):
            error.add_note("\n".join(excerpt(lines[self.line - 1], self.column - 1)))
        return error
