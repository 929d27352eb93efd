"""Ends calls over gRPC whose clients neither send nor take anything."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc

from storage.base import Clock


@dataclass(slots=True, eq=False)
class Call:
    """A call under way."""

    context: grpc.ServicerContext
    stalled_s: float
    clock: Clock
    deadline: float = 0.0  # for the next progress

    def progressed(self) -> None:
        """Note that the client has sent enough, or that the next frame leaves now."""
        self.deadline = self.clock.monotonic() + self.stalled_s

    def waits(self) -> None:
        """Note that the server waits, not the client."""
        self.deadline = math.inf


class Stalls:
    """Cancels calls without progress for ``stalled_s``, from a thread that looks regularly."""

    def __init__(self, stalled_s: float, clock: Clock = time, tick_s: float = 1.0) -> None:
        self._stalled_s = stalled_s
        self._clock = clock
        self._tick_s = tick_s
        self._calls: set[Call] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def __len__(self) -> int:
        return len(self._calls)

    def start(self) -> None:
        threading.Thread(target=self._run, name="grpc-stalls", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    @contextmanager
    def watching(self, context: grpc.ServicerContext) -> Iterator[Call]:
        call = Call(context, self._stalled_s, self._clock)
        call.progressed()
        with self._lock:
            self._calls.add(call)
        try:
            yield call
        finally:
            with self._lock:
                self._calls.discard(call)

    def end_stalled(self) -> int:
        """Cancel the calls past their deadline, and return how many."""
        now = self._clock.monotonic()
        with self._lock:
            stalled = [call for call in self._calls if call.deadline < now]
        for call in stalled:
            call.context.cancel()
        return len(stalled)

    def _run(self) -> None:
        while not self._stopped.wait(self._tick_s):
            self.end_stalled()
