"""Mistakes in the text of a job, in words."""

from __future__ import annotations

from stepml.job.errors import InvalidJobError

_MOST_SHOWN = 60  # characters of a line


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
        """Return the error about the job with this text, of the format ``kind``."""
        there = f"{file!r}: " if file else ""
        mistake = f"{there}{self.reason}{self._place(text)}"
        return InvalidJobError(f"the job cannot be read as {kind}: {mistake}")

    def _place(self, text: str) -> str:
        if not self.line:
            return ""
        lines = text.splitlines()
        line = lines[self.line - 1].strip() if self.line <= len(lines) else ""
        shown = line if len(line) <= _MOST_SHOWN else f"{line[: _MOST_SHOWN - 1]}…"
        return f": line {self.line} column {self.column}" + (f": {shown}" if shown else "")
