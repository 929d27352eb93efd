"""Calls over gRPC that make no progress are ended: each of them keeps a thread of the server."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc

from storage.base import Clock

_TICK_S = 1.0


@dataclass(slots=True, eq=False)
class Call:
    """One that is under way."""

    context: grpc.ServicerContext
    deadline: float  # until it has to send or to read something


class Stalls:
    """Looks after calls, in a thread of its own.

    Parameters
    ----------
    stalled_s : float
        In which a client has to send, or to read, a frame.
    clock : Clock
    tick_s : float
        Between two looks.
    """

    def __init__(self, stalled_s: float, clock: Clock, tick_s: float = _TICK_S) -> None:
        self._stalled_s = stalled_s
        self._clock = clock
        self._tick_s = tick_s
        self._calls: set[Call] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="grpc-stalls", daemon=True)

    def __len__(self) -> int:
        return len(self._calls)

    def start(self) -> None:
        """Begin to end calls."""
        self._thread.start()

    def stop(self) -> None:
        """End no more."""
        self._stopped.set()

    @contextmanager
    def watching(self, context: grpc.ServicerContext) -> Iterator[Call]:
        """Have a call in sight."""
        call = Call(context, self._clock.monotonic() + self._stalled_s)
        with self._lock:
            self._calls.add(call)
        try:
            yield call
        finally:
            with self._lock:
                self._calls.discard(call)

    def progressed(self, call: Call) -> None:
        """Say that a frame has come, or leaves now."""
        call.deadline = self._clock.monotonic() + self._stalled_s

    @staticmethod
    def waits(call: Call) -> None:
        """Say that it is not the client's turn."""
        call.deadline = math.inf

    def end_stalled(self) -> int:
        """End the calls whose time is over, and return how many."""
        now = self._clock.monotonic()
        with self._lock:
            stalled = [call for call in self._calls if call.deadline < now]
        for call in stalled:
            call.context.cancel()
        return len(stalled)

    def _run(self) -> None:
        while not self._stopped.wait(self._tick_s):
            self.end_stalled()
