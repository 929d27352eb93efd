"""The token, limits of time and refusals of every call over gRPC.

gRPC waits for the only message of a unary call in a thread of its pool, without any limit. Here,
all methods are registered as streams, which look the same on the wire: then the wait for each
message is ours, and a client that stalls loses its call and frees the thread.
"""

from __future__ import annotations

import hmac
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from ps_server.over_grpc.messages import INCARNATION_KEY, MESSAGE_BYTES, TOKEN_KEY, parse, status_of
from ps_server.protocol.refusals import AccessDenied, InvalidRequest, Refusal
from storage.base import Clock

_logger = logging.getLogger("stepml.ps_server")


@dataclass(slots=True, eq=False)
class Call:
    """A call under way."""

    context: grpc.ServicerContext
    stalls: Stalls
    deadline: float = math.inf  # for the next progress

    def progressed(self) -> None:
        """Note that the client has sent enough, or that the next frame leaves now."""
        self.deadline = self.stalls.next_deadline()

    def waits(self) -> None:
        """Note that the server waits, not the client."""
        self.deadline = math.inf


class Stalls:
    """Cancels calls that make no progress, from a thread of its own.

    Parameters
    ----------
    stalled_s : float
        Time in which a client has to send, or to read, a frame.
    clock : Clock
    tick_s : float
        Time between two looks.
    """

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
        """Start the thread."""
        threading.Thread(target=self._run, name="grpc-stalls", daemon=True).start()

    def stop(self) -> None:
        """Stop the thread."""
        self._stopped.set()

    def next_deadline(self) -> float:
        """Return the time until which a call has to make progress again."""
        return self._clock.monotonic() + self._stalled_s

    @contextmanager
    def watching(self, context: grpc.ServicerContext) -> Iterator[Call]:
        """Watch a call."""
        call = Call(context, self, self.next_deadline())
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


class CallInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Checks the token before a call is read, and answers refusals by a status.

    Parameters
    ----------
    token : str
    incarnation : str
        Sent with every answer to a client that has the token.
    frame_bytes : int
        Bytes of a stream that count as progress.
    stalls : Stalls
    """

    def __init__(self, token: str, incarnation: str, frame_bytes: int, stalls: Stalls) -> None:
        self.refusals: Counter[str] = Counter()  # by class name
        self._shown = f"Bearer {token}".encode()
        self._incarnation = (INCARNATION_KEY, incarnation)
        self._frame_bytes = frame_bytes
        self._stalls = stalls

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        shown = dict(details.invocation_metadata).get(TOKEN_KEY, "")
        shown = shown if isinstance(shown, bytes) else shown.encode()
        if not hmac.compare_digest(shown, self._shown):
            return grpc.stream_stream_rpc_method_handler(self._deny)
        handler = continuation(details)
        return handler and grpc.stream_stream_rpc_method_handler(self._answering(handler))

    def _deny(self, data: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        self._refuse(AccessDenied(""), context)
        yield b""

    def _answering(self, handler: Any) -> Callable[..., Iterator[bytes]]:
        """Return the stream that runs the servicer's method; it passes a `Call` as context."""
        act = handler.unary_unary or handler.unary_stream
        act = act or handler.stream_unary or handler.stream_stream

        def answer(data: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            try:
                with self._stalls.watching(context) as call:
                    requests = self._requests(handler, data, call)
                    request = requests if handler.request_streaming else next_of(requests)
                    found = act(request, call)
                    for each in found if handler.response_streaming else (found,):
                        call.progressed()
                        yield each.SerializeToString()
                context.set_trailing_metadata((self._incarnation,))
            except Refusal as refusal:
                self._refuse(refusal, context, self._incarnation)
            except Exception as error:
                _report(error, context)

        return answer

    def _requests(self, handler: Any, data: Iterator[bytes], call: Call) -> Iterator[Any]:
        received = 0
        for each in data:
            before, received = received, received + len(each)
            if not handler.request_streaming:
                if received > MESSAGE_BYTES:
                    raise InvalidRequest(f"message: expected at most {MESSAGE_BYTES} bytes")
                call.progressed()
            elif before // self._frame_bytes < received // self._frame_bytes:
                call.progressed()  # not with each of many little pieces
            yield parse(handler.request_deserializer, each)

    def _refuse(self, refusal: Refusal, context: Any, *metadata: tuple[str, str]) -> None:
        self.refusals[type(refusal).__name__] += 1
        code, details, fields = status_of(refusal)
        context.set_trailing_metadata((*fields, *metadata))
        context.abort(code, details)


def next_of(messages: Iterator[Any]) -> Any:
    """Return the next message, or raise `InvalidRequest` at the end of the stream."""
    for message in messages:
        return message
    raise InvalidRequest("frames: expected more of them")


def _report(error: Exception, context: grpc.ServicerContext) -> None:
    if not context.is_active():  # the client is gone, in the middle of its frames
        _logger.debug("call ended", extra={"fields": {"reason": str(error)[:200]}})
        error.__traceback__ = None  # gRPC's frames refer to the error: a circle that holds memory
    else:
        _logger.exception("a call failed")
    context.abort(grpc.StatusCode.INTERNAL, "")
