"""Snapshots of a server, written regularly; at a start the newest whole one is read.

The two newest are kept: a machine may die while it writes, and a disk may damage a file. An
unchanged state is not written again.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import msgspec

from ps_server.logs import log, log_failure
from ps_server.protocol.refusals import Refusal
from ps_server.state.parameters import Parameters
from ps_server.state.snapshot_places import SUFFIX, open_place

_KEPT = 2
# The errors of reading a whole snapshot of another version.
_UNREADABLE = (ValueError, TypeError, LookupError, msgspec.MsgspecError, Refusal)


@dataclass(frozen=True, slots=True)
class SnapshotStatus:
    """The state of saving."""

    age_s: float  # since the last snapshot, or the start
    seconds: float  # to write it
    failures: int
    is_failing: bool  # the last one failed


class Snapshots:
    """Saves the state of a server, and restores it.

    ``place`` is a directory or ``s3://bucket/prefix``. `OSError`: it cannot be written to, or
    another server uses it.
    """

    def __init__(self, place: str) -> None:
        self._place = open_place(place)
        self._lock = threading.Lock()  # one writes at a time, and the last one has the newest
        self._saved: object = None  # `Parameters.state` of the last snapshot
        self._newest = 0
        self._saved_at = time.monotonic()
        self._seconds = 0.0
        self._failures = 0
        self._is_failing = False

    @property
    def status(self) -> SnapshotStatus:
        age_s = time.monotonic() - self._saved_at
        return SnapshotStatus(age_s, self._seconds, self._failures, self._is_failing)

    def restore(self, **settings: Any) -> Parameters:
        """Restore the newest whole snapshot; without any, begin with nothing.

        ``settings`` are those of `Parameters`. An `OSError` is raised, as it hides whether there
        are snapshots.
        """
        for name in reversed(self._place.names()):
            try:
                with self._place.reading(name) as file:
                    restored = Parameters.restore(file, **settings)
            except _UNREADABLE as error:
                log_failure("a snapshot is damaged", error, snapshot=name)
                self._place.set_aside(name)
                continue
            log("snapshot restored", snapshot=name, jobs=len(restored.statistics().jobs))
            return restored
        return Parameters(**settings)

    def save(self, parameters: Parameters) -> None:
        """Save the state; a failure is logged, and shown by `status`."""
        with self._lock:
            began = time.monotonic()
            state = parameters.state()
            try:
                if self._is_failing or state != self._saved:
                    self._write(parameters)
            except Exception as error:
                # A full disk, or S3 that does not answer, must not stop the server.
                self._failures += 1
                self._is_failing = True
                log_failure("a snapshot failed", error)
                return
            self._is_failing = False
            self._saved = state
            self._saved_at = began
            self._seconds = time.monotonic() - began

    def close(self) -> None:
        """Release the place for another server."""
        self._place.close()

    def _write(self, parameters: Parameters) -> None:
        names = self._place.names()
        # Names sort by time even if the clock is set back.
        newest = max([self._newest, *map(_number, names)])
        self._newest = max(time.time_ns(), newest + 1)
        name = f"{self._newest:020d}{SUFFIX}"
        snapshot = parameters.take_snapshot()
        try:
            with self._place.writing(name) as file:
                snapshot.write(file)
        finally:
            snapshot.close()
        for old in [*names, name][:-_KEPT]:
            self._place.delete(old)


def _number(name: str) -> int:
    digits = name.removesuffix(SUFFIX)
    return int(digits) if digits.isdecimal() else 0
