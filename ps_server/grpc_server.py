"""The parameter server over gRPC, for clients that would rather speak that.

Calls are taken as bytes and taken apart by `ps_server.grpc_messages`: the pieces of a vector go
straight to where it is to lie, and gRPC itself makes the one copy more that it cannot do without.
"""

from __future__ import annotations

import hmac
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import grpc

from ps_server.calls import Pushed, Welcome
from ps_server.generated import parameter_server_pb2 as pb
from ps_server.grpc_messages import (
    FRAME_BYTES,
    INCARNATION_KEY,
    MESSAGE_BYTES,
    MOST_WAIT_S,
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
from ps_server.parameters import Outgoing, Parameters
from ps_server.refusals import AccessDenied, ContributionsMissing, InvalidRequest, Refusal

_IDLE_MS = 900_000  # as over Thrift

_logger = logging.getLogger("stepml.ps_server")


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
    ) -> None:
        self._parameters = parameters
        self._frame_bytes = frame_bytes
        self._n_calls = 0
        self._lock = threading.Lock()
        self._server = grpc.server(
            ThreadPoolExecutor(max_clients, thread_name_prefix="grpc"),
            interceptors=[_TokenInterceptor(token)],
            maximum_concurrent_rpcs=max_clients,
            options=[
                ("grpc.max_receive_message_length", frame_bytes + MESSAGE_BYTES),
                ("grpc.max_metadata_size", 8192),
                ("grpc.max_connection_idle_ms", _IDLE_MS),
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
        return self._n_calls

    def start(self) -> None:
        """Begin to accept connections."""
        self._server.start()

    def stop(self, grace_s: float = 5.0) -> None:
        """Accept no more, let calls that are under way end, then close all connections."""
        self._server.stop(grace_s).wait()

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
                    pb.Nothing, lambda call: plain_statistics(state.statistics(self._n_calls))
                ),
                "Push": grpc.stream_unary_rpc_method_handler(self._push),
                "Pull": grpc.unary_stream_rpc_method_handler(self._pull),
                "PushAndPull": grpc.stream_stream_rpc_method_handler(self._push_and_pull),
            },
        )

    def _unary(self, kind: Any, act: Callable[[Any], Any]) -> grpc.RpcMethodHandler:
        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            with self._answering(context):
                message = act(parse(kind, request))
                data: bytes = (message or pb.Nothing()).SerializeToString()
                return data

        return grpc.unary_unary_rpc_method_handler(answer)

    def _welcome(self) -> Any:
        welcome = Welcome(self._parameters.incarnation, self._frame_bytes)
        return pb.Welcome(incarnation=welcome.incarnation, frame_bytes=welcome.frame_bytes)

    def _push(self, frames: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        with self._answering(context):
            pushed, _ = self._received(frames)
            data: bytes = pushed_message(pushed).SerializeToString()
            return data

    def _pull(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        with self._answering(context):
            call = parse(pb.PullRequest, request)
            yield from self._sent(self._waited(call), {})

    def _push_and_pull(
        self, frames: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        with self._answering(context):
            pushed, head = self._received(frames)
            told = {"pushed": pushed_message(pushed)}
            try:
                outgoing = self._waited(head)
            except ContributionsMissing as missing:
                yield pb.PullFrame(missing=missing_message(missing), **told).SerializeToString()
                return
            yield from self._sent(outgoing, told)

    def _received(self, frames: Iterator[bytes]) -> tuple[Pushed, Any]:
        """Have a message count whose pieces are in ``frames``; return its head, too."""
        first = next(frames, None)
        if first is None:
            raise InvalidRequest("frames: expected one or more, got none")
        fields, piece = split(first)
        head = parse(pb.PushFrame, fields, optional=("piece", "wait_ms")).head
        step, received = step_of(head.step), 0
        incoming = self._parameters.receive(head.job, step, head.rank, head.size, head.attempt)
        try:
            for each in chain([piece], map(_piece_alone, frames)):
                start, received = received, received + len(each)
                if len(each) > self._frame_bytes or received > head.size:
                    raise InvalidRequest(
                        f"piece: expected at most {self._frame_bytes} bytes, {head.size} in all; "
                        f"got {len(each)} at {start}"
                    )
                if incoming is not None and len(each):
                    incoming.memory[start:received] = each
                    incoming.arrived(start, received)
            if received != head.size:
                raise InvalidRequest(f"size: expected {head.size} bytes, got {received}")
            if incoming is None:
                return self._parameters.push_repeated(head.job, step, head.rank), head
            return self._parameters.push(incoming, head.based_on), head
        finally:
            if incoming is not None:
                incoming.close()

    def _waited(self, call: Any) -> Outgoing:
        wait_s = min(MOST_WAIT_S, max(0, call.wait_ms) / 1000)
        return self._parameters.pull(call.job, step_of(call.step), call.rank, wait_s, call.attempt)

    def _sent(self, outgoing: Outgoing, told: dict[str, Any]) -> Iterator[bytes]:
        """Yield the frames of a message; ``told`` goes with the first."""
        try:
            data, head = outgoing.data, pb.PullFrame(size=len(outgoing.data), **told)
            fields = head.SerializeToString()
            for start in range(0, len(data), self._frame_bytes):
                yield joined(fields, [data[start : start + self._frame_bytes]])
                fields = b""
        finally:
            outgoing.close()

    @contextmanager
    def _answering(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Count a call; what it is refused with becomes its status."""
        with self._lock:
            self._n_calls += 1
        mine = (INCARNATION_KEY, self._parameters.incarnation)
        try:
            yield
            context.set_trailing_metadata((mine,))
        except Refusal as refusal:
            code, details, metadata = status_of(refusal)
            context.set_trailing_metadata((*metadata, mine))
            context.abort(code, details)
        except Exception as error:
            if not context.is_active():  # whoever called is gone, in the middle of its frames
                _logger.debug("call ended", extra={"fields": {"reason": str(error)[:200]}})
            else:
                _logger.exception("a call failed")
            context.abort(grpc.StatusCode.INTERNAL, "")
        finally:
            with self._lock:
                self._n_calls -= 1


class _TokenInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Lets nobody in without the token, before anything of a call is read."""

    def __init__(self, token: str) -> None:
        self._shown = f"Bearer {token}".encode()
        code, details, _ = status_of(AccessDenied(""))

        def deny(frames: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            context.abort(code, details)
            yield b""

        self._deny = grpc.stream_stream_rpc_method_handler(deny)

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        shown = dict(details.invocation_metadata).get(TOKEN_KEY, "")
        told = shown if isinstance(shown, bytes) else shown.encode()
        return continuation(details) if hmac.compare_digest(told, self._shown) else self._deny


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
