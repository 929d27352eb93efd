"""Standard output and error, which may be closed, full, or unable to encode a character."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from stepml.job.errors import StepMLError

STDERR = 2
_ENDLESS = ("/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class OutputLostError(StepMLError):
    """Standard output cannot be written.

    Attributes
    ----------
    is_closed : bool
        Its reader, such as ``head``, has ended; this is no failure.
    """

    def __init__(self, reason: OSError, before: str = "") -> None:
        self.reason = reason
        self.is_closed = isinstance(reason, BrokenPipeError)
        super().__init__(f"{before}stdout cannot be written: {reason.strerror or reason}")


class GuardedStdout:
    """Standard output as a text stream; a failed write is an `OutputLostError`.

    Parameters
    ----------
    survives : bool
        A failed write raises nothing. It is recorded in ``lost``, and later ones are left out.
    """

    def __init__(self, survives: bool = False) -> None:
        self._stream = sys.stdout
        self._survives = survives
        self.lost: OutputLostError | None = None

    def write(self, text: str) -> int:
        """Write ``text``, and return its length."""
        if self.lost is None:
            try:
                self._stream.write(_escaped(text, self._stream.encoding))
            except OSError as error:
                self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Send everything written so far to the reader."""
        if self.lost is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._lose(error)

    def __getattr__(self, name: str) -> Any:  # isatty, encoding, fileno: asked for by rich
        return getattr(self._stream, name)

    def _lose(self, reason: OSError) -> None:
        discard(self._stream)
        self.lost = OutputLostError(reason)
        if not self._survives:
            raise self.lost from reason


def _escaped(text: str, encoding: str) -> str:
    """Return ``text`` with escapes for halves of surrogate pairs and for what has no code."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


def can_encode_all(stream: TextIO) -> bool:
    """Return whether ``stream`` can encode every character."""
    return (stream.encoding or "").lower().startswith("utf")


def discard(stream: TextIO) -> None:
    """Discard the buffer of ``stream`` and everything written to it later."""
    with contextlib.suppress(OSError, ValueError):  # a stream without a descriptor
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def is_endless(file: BinaryIO) -> bool:
    """Return whether ``file`` is a device that can be read for ever."""
    try:
        found = os.fstat(file.fileno())
    except OSError:  # it has no descriptor
        return False
    return stat.S_ISCHR(found.st_mode) and found.st_rdev in _endless_devices()


def _endless_devices() -> Iterator[int]:
    for path in _ENDLESS:
        with contextlib.suppress(OSError):
            yield Path(path).stat().st_rdev


def prepare() -> None:
    """Let closed standard streams discard text, and escape characters that cannot be encoded."""
    # A file that is opened later must not get the number of a standard stream.
    while (null := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(null, True)
    os.close(null)
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            null = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(null, "r" if name == "stdin" else "w", encoding="utf-8"))
        elif name != "stdin":
            stream.reconfigure(errors="backslashreplace")
