"""The parameter server over gRPC, for clients that prefer it to Thrift.

gRPC waits for the only message of a unary call in a thread of its pool, without any limit. Here,
all methods are registered as streams, which look the same on the wire: then the wait for each
message is ours, and a client that stalls loses its call and frees the thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
from google.protobuf.message_factory import GetMessageClass

from ps_server.generated import parameter_server_pb2 as pb
from ps_server.logs import logger
from ps_server.over_grpc import messages
from ps_server.over_grpc.messages import MESSAGE_BYTES, METHODS, fields_of, message_of
from ps_server.over_grpc.stalls import Call, Stalls
from ps_server.protocol.calls import MOST_WAIT_S, Pushed, Target
from ps_server.protocol.refusals import AccessDenied, InvalidRequest, Refusal
from ps_server.state.endpoint import Endpoint
from ps_server.state.jobs import Incoming
from storage.base import Clock

FRAME_BYTES = 2**20  # of a piece; smaller ones are slower, larger ones are not faster
_OPTIONS = {
    "grpc.max_metadata_size": 8192,
    "grpc.max_concurrent_streams": 64,  # of a connection; clients use one
    "grpc.max_connection_idle_ms": 900_000,  # as over Thrift
    "grpc.server_handshake_timeout_ms": 5_000,
    "grpc.keepalive_time_ms": 60_000,  # a client that does not answer is gone
    "grpc.keepalive_timeout_ms": 20_000,
    "grpc.so_reuseport": 0,  # a second server on the port is an error
}
_METHODS = {f"/{each.containing_service.full_name}/{name}": each for name, each in METHODS.items()}

# It logs all metadata that are not UTF-8, of any sender.
logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)


@dataclass(eq=False)
class GrpcServer(Endpoint):
    """Answers gRPC clients."""

    frame_bytes: int = field(default=FRAME_BYTES, kw_only=True)
    # Calls end that neither send nor take a frame in this time.
    stalled_s: float = field(default=60.0, kw_only=True)
    clock: Clock = field(default=time, kw_only=True)  # of stalls

    def __post_init__(self) -> None:
        super().__post_init__()
        self._stalls = Stalls(self.stalled_s, self.clock)
        limits = {
            "grpc.max_receive_message_length": self.frame_bytes + MESSAGE_BYTES,
            # Calls that nobody has begun yet, with 40 KB of memory each; more are cancelled.
            "grpc.server.max_pending_requests": self.max_connections,
            "grpc.server.max_pending_requests_hard_limit": self.max_connections,
        }
        self._server = grpc.server(
            ThreadPoolExecutor(self.max_connections, thread_name_prefix="grpc"),
            # Methods that are registered with gRPC's core cost 20 to 30 KB for each connection
            # that breaks.
            handlers=[self],
            maximum_concurrent_rpcs=self.max_connections,
            options=[*limits.items(), *_OPTIONS.items()],
        )
        host, port = self.address
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            self.port = self._listen(place)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {place}: {error}") from error

    @property
    def connections(self) -> int:
        return len(self._stalls)

    def start(self) -> None:
        self._server.start()
        self._stalls.start()

    def stop(self, grace_s: float = 5.0) -> None:
        self._server.stop(grace_s).wait()
        self._stalls.stop()

    def _listen(self, place: str) -> int:
        if self.certificate is None or self.key is None:
            return int(self._server.add_insecure_port(place))
        ca = self.client_ca.read_bytes() if self.client_ca is not None else None
        pairs = [(self.key.read_bytes(), self.certificate.read_bytes())]
        credentials = grpc.ssl_server_credentials(pairs, ca, ca is not None)
        return int(self._server.add_secure_port(place, credentials))

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        shown = dict(details.invocation_metadata).get(messages.TOKEN_KEY, "")
        shown = shown if isinstance(shown, bytes) else shown.encode()
        if not self.is_token(shown, scheme=b"Bearer "):
            return grpc.stream_stream_rpc_method_handler(self._deny)
        method = _METHODS.get(details.method)
        return method and grpc.stream_stream_rpc_method_handler(partial(self._answer, method))

    def _deny(self, data: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        self._refuse(AccessDenied(""), context)
        yield b""

    def _answer(
        self, method: Any, data: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        incarnation = (messages.INCARNATION_KEY, self.parameters.incarnation)
        try:
            with self._stalls.watching(context) as call:
                for answer in self._answers(method, self._requests(method, data, call), call):
                    call.progressed()
                    yield answer.SerializeToString()
            context.set_trailing_metadata((incarnation,))
        except Refusal as refusal:
            self._refuse(refusal, context, incarnation)
        except Exception as error:
            _report(error, context)

    def _requests(self, method: Any, data: Iterator[bytes], call: Call) -> Iterator[Any]:
        kind, received = GetMessageClass(method.input_type), 0
        for each in data:
            before, received = received, received + len(each)
            if not method.client_streaming:
                if received > MESSAGE_BYTES:
                    raise InvalidRequest(f"message: expected at most {MESSAGE_BYTES} bytes")
                call.progressed()
            elif before // self.frame_bytes < received // self.frame_bytes:
                call.progressed()  # not with each of many little pieces
            yield messages.parse(kind.FromString, each)

    def _answers(self, method: Any, requests: Iterator[Any], call: Call) -> Iterator[Any]:
        match method.name:
            case "Push":
                yield message_of(pb.Pushed, self._received(requests))
            case "Pull":
                yield from self._pulled(_next_of(requests), call)
            case _:
                arguments = fields_of(_next_of(requests))
                answer = self.answer(method.name.lower(), arguments)
                kind = GetMessageClass(method.output_type)
                yield kind(jobs=answer) if method.name == "Delete" else message_of(kind, answer)

    def _received(self, frames: Iterator[Any]) -> Pushed:
        """Receive the pieces of a message and push it; frames after the last piece are ignored."""
        frame = _next_of(frames)
        if not frame.HasField("head"):
            raise InvalidRequest("head: expected in the first frame, got none")
        incoming = self.parameters.receive(_target(frame.head), frame.head.size)
        with closing(incoming):
            while True:
                self._take(frame.piece, incoming)
                if incoming.is_whole:
                    return self.parameters.push(incoming)
                frame = _next_of(frames)
                if frame.HasField("head"):
                    raise InvalidRequest("frame: expected a piece alone behind the first frame")

    def _take(self, piece: bytes, incoming: Incoming) -> None:
        if len(piece) > self.frame_bytes:
            raise InvalidRequest(f"piece: expected at most {self.frame_bytes} bytes")
        place = incoming.place(len(piece))
        if place is not None:
            place[:] = piece
        incoming.arrived(len(piece))

    def _pulled(self, request: Any, call: Call) -> Iterator[Any]:
        """Wait for a sum or a model, and yield its frames."""
        call.waits()
        wait_s = min(MOST_WAIT_S, max(0, request.wait_ms) / 1000)
        block = self.parameters.pull(_target(request), wait_s)
        try:
            data = block.data.data
            for start in range(0, len(data), self.frame_bytes):
                size = None if start else len(data)
                yield pb.PullFrame(size=size, piece=bytes(data[start : start + self.frame_bytes]))
        finally:
            block.drop()

    def _refuse(self, refusal: Refusal, context: Any, *metadata: tuple[str, str]) -> None:
        self.refusals[type(refusal).__name__] += 1
        code, details, fields = messages.status_of(refusal)
        context.set_trailing_metadata((*fields, *metadata))
        context.abort(code, details)


def _next_of(frames: Iterator[Any]) -> Any:
    """Return the next message, or raise `InvalidRequest` at the end of the stream."""
    for message in frames:
        return message
    raise InvalidRequest("frames: expected more of them")


def _target(message: Any) -> Target:
    found = fields_of(message)
    return Target(**{name: found[name] for name in Target._fields if name in found})


def _report(error: Exception, context: grpc.ServicerContext) -> None:
    if not context.is_active():  # the client is gone, in the middle of its frames
        logger.debug("call ended", extra={"fields": {"reason": str(error)[:200]}})
        error.__traceback__ = None  # gRPC's frames refer to the error: a circle that holds memory
    else:
        logger.exception("a call failed")
    context.abort(grpc.StatusCode.INTERNAL, "")
