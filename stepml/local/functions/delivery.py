"""Delivers events: invocations without a caller, which wait for concurrency and are retried."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Sequence

from stepml.local.functions.errors import TooManyRequestsError
from stepml.local.functions.function import Function, Invocation

logger = logging.getLogger(__name__)

FIRST_THROTTLE_DELAY_S, MAX_THROTTLE_DELAY_S = 0.05, 5.0

Invoke = Callable[[Function, bytes, str], Invocation]  # with the request id


class EventDelivery:
    """Invokes functions in the background.

    Parameters
    ----------
    invoke : callable
    closed : threading.Event
        Ends all deliveries.
    retry_delays_s : sequence of float
        Pauses before the retries of a failed event.
    """

    def __init__(
        self, invoke: Invoke, closed: threading.Event, retry_delays_s: Sequence[float]
    ) -> None:
        self._invoke = invoke
        self._closed = closed
        self._retry_delays_s = tuple(retry_delays_s)

    def begin(self, function: Function, payload: bytes) -> str:
        """Deliver an event in a thread of its own and return its request id at once."""
        request_id = str(uuid.uuid4())
        arguments = (function, payload, request_id)
        threading.Thread(
            target=self._deliver, args=arguments, name=f"event-{request_id}", daemon=True
        ).start()
        return request_id

    def _deliver(self, function: Function, payload: bytes, request_id: str) -> None:
        for delay_s in (0.0, *self._retry_delays_s):
            if self._closed.wait(delay_s):
                return
            invocation = self._invoke_when_possible(function, payload, request_id)
            if invocation is None or invocation.error is None:
                return
        logger.warning("event %s of %s is dropped: every attempt failed", request_id, function.name)

    def _invoke_when_possible(
        self, function: Function, payload: bytes, request_id: str
    ) -> Invocation | None:
        delay_s = FIRST_THROTTLE_DELAY_S
        while not self._closed.is_set():
            try:
                return self._invoke(function, payload, request_id)
            except TooManyRequestsError:
                self._closed.wait(delay_s)
                delay_s = min(2 * delay_s, MAX_THROTTLE_DELAY_S)
        return None
