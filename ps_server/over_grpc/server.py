"""The parameter server over gRPC, for clients that would rather speak that.

Calls arrive as bytes and are parsed by `ps_server.over_grpc.messages`: the pieces of a vector go
straight to where it is to lie, and gRPC itself makes the one copy more that it cannot do without.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from ps_server.generated import parameter_server_pb2 as pb
from ps_server.over_grpc.messages import (
    FRAME_BYTES,
    INCARNATION_KEY,
    MESSAGE_BYTES,
    SERVICE,
    TOKEN_KEY,
    joined,
    missing_message,
    parse,
    plain_statistics,
    pushed_message,
    settings_of,
    split,
    status_of,
    step_of,
)
from ps_server.over_grpc.stalls import Call, Stalls
from ps_server.protocol.calls import MOST_WAIT_S, Pushed, Welcome
from ps_server.protocol.refusals import AccessDenied, ContributionsMissing, InvalidRequest, Refusal
from ps_server.state.parameters import Outgoing, Parameters

_IDLE_MS = 900_000  # as over Thrift
_STALLED_S = 60.0  # the longest frame; as over Thrift
_HANDSHAKE_MS = 5_000  # until a connection is one
_PING_MS, _PONG_MS = 60_000, 20_000  # whoever does not answer is gone
_STREAMS = 64  # of a connection at once; clients use one

_logger = logging.getLogger("stepml.ps_server")
# It tells of all metadata that are not UTF-8, whoever sends them.
logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)


class GrpcServer:
    """Answers gRPC clients from ``parameters``.

    Parameters
    ----------
    parameters : Parameters
    address : tuple of str and int
        Host and port; port 0 takes a free one.
    token : str
        What clients have to show.
    certificate, key : Path, optional
        PEM files; without, nothing is encrypted.
    client_ca : Path, optional
        PEM file; clients then have to show a certificate of it.
    frame_bytes : int
        The largest piece of a message.
    max_clients : int
        Calls at the same time, most of which wait for others; more are refused.
    stalled_s : float
        Calls end that neither bring nor take a frame in this time.
    """

    def __init__(
        self,
        parameters: Parameters,
        address: tuple[str, int],
        token: str,
        *,
        certificate: Path | None = None,
        key: Path | None = None,
        client_ca: Path | None = None,
        frame_bytes: int = FRAME_BYTES,
        max_clients: int = 1024,
        stalled_s: float = _STALLED_S,
    ) -> None:
        self._parameters = parameters
        self._frame_bytes = frame_bytes
        self.refusals: Counter[str] = Counter()  # by kind
        self._stalls = Stalls(stalled_s, time)
        self._server = grpc.server(
            ThreadPoolExecutor(max_clients, thread_name_prefix="grpc"),
            interceptors=[_TokenInterceptor(token, self.refusals)],
            maximum_concurrent_rpcs=max_clients,
            options=[
                ("grpc.max_receive_message_length", frame_bytes + MESSAGE_BYTES),
                ("grpc.max_metadata_size", 8192),
                ("grpc.max_concurrent_streams", _STREAMS),
                ("grpc.max_connection_idle_ms", _IDLE_MS),
                ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
                ("grpc.keepalive_time_ms", _PING_MS),
                ("grpc.keepalive_timeout_ms", _PONG_MS),
                ("grpc.so_reuseport", 0),  # another server there is an error
            ],
        )
        self._server.add_generic_rpc_handlers((self._handlers(),))
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        place = f"{host}:{address[1]}"
        try:
            if certificate is not None and key is not None:
                ca = client_ca.read_bytes() if client_ca is not None else None
                credentials = grpc.ssl_server_credentials(
                    [(key.read_bytes(), certificate.read_bytes())], ca, client_ca is not None
                )
                self.port: int = self._server.add_secure_port(place, credentials)
            else:
                self.port = self._server.add_insecure_port(place)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {place}: {error}") from error

    @property
    def connections(self) -> int:
        """Calls under way: gRPC does not tell how many clients are connected."""
        return len(self._stalls)

    def start(self) -> None:
        """Begin to accept connections."""
        self._server.start()
        self._stalls.start()

    def stop(self, grace_s: float = 5.0) -> None:
        """Accept no more, let calls that are under way end, then close all connections."""
        self._server.stop(grace_s).wait()
        self._stalls.stop()

    def _handlers(self) -> grpc.GenericRpcHandler:
        unary, state = self._unary, self._parameters
        return grpc.method_handlers_generic_handler(
            SERVICE.full_name,
            {
                "Ping": unary(pb.Nothing, lambda call: self._welcome()),
                "Register": unary(
                    pb.RegisterRequest,
                    lambda call: _registration(
                        state.register(call.job, settings_of(call.settings))
                    ),
                ),
                "Exists": unary(
                    pb.ExistsRequest,
                    lambda call: _status(state.exists(call.job, step_of(call.step))),
                ),
                "Forget": unary(
                    pb.ForgetRequest, lambda call: state.forget(call.job, step_of(call.through))
                ),
                "Reset": unary(pb.ResetRequest, lambda call: state.reset(call.job, call.epoch)),
                "Delete": unary(
                    pb.DeleteRequest, lambda call: pb.Deleted(jobs=state.delete(call.prefix))
                ),
                "Statistics": unary(
                    pb.Nothing, lambda call: plain_statistics(state.statistics(self.connections))
                ),
                "Push": self._handler(self._push),
                "Pull": self._handler(self._pull),
                "PushAndPull": self._handler(self._push_and_pull),
            },
        )

    def _handler(self, act: Callable[[Iterator[bytes], Call], Iterator[bytes]]) -> Any:
        """Return what gRPC calls.

        All methods are streams here, which is the same on the wire: otherwise gRPC would wait for
        the only message of a call by itself, in one of the threads, and as long as it takes.
        """

        def answer(frames: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            with self._answering(context) as call:
                yield from act(frames, call)

        return grpc.stream_stream_rpc_method_handler(answer)

    def _unary(self, kind: Any, act: Callable[[Any], Any]) -> Any:
        def answer(frames: Iterator[bytes], call: Call) -> Iterator[bytes]:
            message = act(parse(kind, self._only(frames, call)))
            yield (message or pb.Nothing()).SerializeToString()

        return self._handler(answer)

    def _only(self, frames: Iterator[bytes], call: Call) -> bytes:
        """Return the message of a call that has one."""
        message = _next(frames)
        if len(message) > MESSAGE_BYTES:
            raise InvalidRequest(f"message: expected at most {MESSAGE_BYTES} bytes")
        self._stalls.progressed(call)
        return message

    def _welcome(self) -> Any:
        welcome = Welcome(self._parameters.incarnation, self._frame_bytes)
        return pb.Welcome(incarnation=welcome.incarnation, frame_bytes=welcome.frame_bytes)

    def _push(self, frames: Iterator[bytes], call: Call) -> Iterator[bytes]:
        pushed, _ = self._received(frames, call, waits=False)
        yield pushed_message(pushed).SerializeToString()

    def _pull(self, frames: Iterator[bytes], call: Call) -> Iterator[bytes]:
        asked = parse(pb.PullRequest, self._only(frames, call))
        yield from self._sent(self._waited(asked, call), call, {})

    def _push_and_pull(self, frames: Iterator[bytes], call: Call) -> Iterator[bytes]:
        pushed, head = self._received(frames, call, waits=True)
        told = {"pushed": pushed_message(pushed)}
        try:
            outgoing = self._waited(head, call)
        except ContributionsMissing as missing:
            yield pb.PullFrame(missing=missing_message(missing), **told).SerializeToString()
            return
        yield from self._sent(outgoing, call, told)

    def _received(self, frames: Iterator[bytes], call: Call, *, waits: bool) -> tuple[Pushed, Any]:
        """Have a message count whose pieces are in ``frames``; return its head, too.

        What comes behind its last piece is not looked at.
        """
        fields, piece = split(_next(frames))
        head = parse(pb.PushFrame, fields, optional=("piece", "wait_ms")).head
        if head.HasField("wait_ms") != waits:
            raise InvalidRequest("wait_ms: expected with PushAndPull, and only there")
        step, received = step_of(head.step), 0
        incoming = self._parameters.receive(head.job, step, head.rank, head.size, head.attempt)
        try:
            while True:
                start, received = received, received + len(piece)
                if not 0 < len(piece) <= self._frame_bytes or received > head.size:
                    raise InvalidRequest(
                        f"piece: expected 1 to {self._frame_bytes} bytes, {head.size} in all; "
                        f"got {len(piece)} at {start}"
                    )
                if incoming is not None:
                    incoming.memory[start:received] = piece
                    incoming.arrived(start, received)
                if start // self._frame_bytes < received // self._frame_bytes:
                    self._stalls.progressed(call)  # not with each of many little pieces
                if received == head.size:
                    break
                piece = _piece_alone(_next(frames))
            if incoming is None:
                return self._parameters.push_repeated(head.job, step, head.rank), head
            return self._parameters.push(incoming, head.based_on), head
        finally:
            if incoming is not None:
                incoming.close()

    def _waited(self, asked: Any, call: Call) -> Outgoing:
        wait_s = min(MOST_WAIT_S, max(0, asked.wait_ms) / 1000)
        step = step_of(asked.step)
        self._stalls.waits(call)
        return self._parameters.pull(asked.job, step, asked.rank, wait_s, asked.attempt)

    def _sent(self, outgoing: Outgoing, call: Call, told: dict[str, Any]) -> Iterator[bytes]:
        """Yield the frames of a message; ``told`` goes with the first."""
        try:
            data, head = outgoing.data, pb.PullFrame(size=len(outgoing.data), **told)
            fields = head.SerializeToString()
            for start in range(0, len(data), self._frame_bytes):
                self._stalls.progressed(call)
                yield joined(fields, [data[start : start + self._frame_bytes]])
                fields = b""
        finally:
            outgoing.close()

    @contextmanager
    def _answering(self, context: grpc.ServicerContext) -> Iterator[Call]:
        """Look after a call; what it is refused with becomes its status."""
        mine = (INCARNATION_KEY, self._parameters.incarnation)
        try:
            with self._stalls.watching(context) as call:
                yield call
            context.set_trailing_metadata((mine,))
        except Refusal as refusal:
            self.refusals[type(refusal).__name__] += 1
            code, details, metadata = status_of(refusal)
            context.set_trailing_metadata((*metadata, mine))
            context.abort(code, details)
        except Exception as error:
            if not context.is_active():  # whoever called is gone, in the middle of its frames
                _logger.debug("call ended", extra={"fields": {"reason": str(error)[:200]}})
            else:
                _logger.exception("a call failed")
            context.abort(grpc.StatusCode.INTERNAL, "")


class _TokenInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Lets nobody in without the token, before anything of a call is read."""

    def __init__(self, token: str, refusals: Counter[str]) -> None:
        self._shown = f"Bearer {token}".encode()
        code, details, _ = status_of(AccessDenied(""))

        def deny(frames: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            refusals[AccessDenied.__name__] += 1
            context.abort(code, details)
            yield b""

        self._deny = grpc.stream_stream_rpc_method_handler(deny)

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        shown = dict(details.invocation_metadata).get(TOKEN_KEY, "")
        told = shown if isinstance(shown, bytes) else shown.encode()
        return continuation(details) if hmac.compare_digest(told, self._shown) else self._deny


def _next(frames: Iterator[bytes]) -> bytes:
    frame = next(frames, None)
    if frame is None:
        raise InvalidRequest("frames: expected more of them")
    return frame


def _piece_alone(frame: bytes) -> memoryview:
    fields, piece = split(frame)
    if fields:
        raise InvalidRequest("frame: expected a piece alone behind the first frame")
    return piece


def _registration(found: Any) -> Any:
    return pb.Registration(
        incarnation=found.incarnation, is_new=found.is_new, is_restored=found.is_restored
    )


def _status(found: Any) -> Any:
    return pb.StepStatus(ranks=found.ranks, is_complete=found.is_complete)
