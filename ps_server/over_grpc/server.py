"""The parameter server over gRPC, for clients that prefer it to Thrift."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from ps_server.generated import parameter_server_pb2 as pb
from ps_server.generated.parameter_server_pb2_grpc import (
    ParameterServerServicer,
    add_ParameterServerServicer_to_server,
)
from ps_server.over_grpc.calls import Call, CallInterceptor, Stalls, next_of
from ps_server.over_grpc.messages import MESSAGE_BYTES, fields_of, message_of, missing_message
from ps_server.protocol.calls import MOST_WAIT_S, JobSettings, Pushed, Welcome
from ps_server.protocol.refusals import ContributionsMissing, InvalidRequest
from ps_server.state.parameters import Parameters
from ps_server.state.transit import Outgoing
from stepml.job.step import Step

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

# It logs all metadata that are not UTF-8, whoever sends them.
logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)


class GrpcServer:
    """Answers gRPC clients from ``parameters``; arguments as of `ThriftServer`.

    Parameters
    ----------
    certificate, key, client_ca : Path, optional
        PEM files; see `ps_server.protocol.certificates.server_context`.
    max_clients : int
        Calls at the same time, most of which wait for others; more are refused.
    stalled_s : float
        Calls end that neither send nor take a frame in this time.
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
        stalled_s: float = 60.0,
    ) -> None:
        self._stalls = Stalls(stalled_s)
        calls = CallInterceptor(token, parameters.incarnation, frame_bytes, self._stalls)
        self.refusals: Counter[str] = calls.refusals
        most_bytes = ("grpc.max_receive_message_length", frame_bytes + MESSAGE_BYTES)
        self._server = grpc.server(
            ThreadPoolExecutor(max_clients, thread_name_prefix="grpc"),
            interceptors=[calls],
            maximum_concurrent_rpcs=max_clients,
            options=[most_bytes, *_OPTIONS.items()],
        )
        servicer = _Servicer(parameters, frame_bytes, self._stalls)
        add_ParameterServerServicer_to_server(servicer, _ByName(self._server))
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        credentials = _credentials(certificate, key, client_ca)
        try:
            self.port = self._listen(f"{host}:{address[1]}", credentials)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {host}:{address[1]}: {error}") from error

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

    def _listen(self, place: str, credentials: grpc.ServerCredentials | None) -> int:
        if credentials is None:
            return int(self._server.add_insecure_port(place))
        return int(self._server.add_secure_port(place, credentials))


class _ByName:
    """A server that looks methods up by name.

    Methods that are registered with gRPC's core cost 20 to 30 KB for each connection that breaks.
    """

    def __init__(self, server: grpc.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        pass


class _Servicer(ParameterServerServicer):  # type: ignore[misc]  # grpc has no types
    """The calls; `CallInterceptor` passes a `Call` where gRPC passes its context."""

    def __init__(self, parameters: Parameters, frame_bytes: int, stalls: Stalls) -> None:
        self._state = parameters
        self._frame_bytes = frame_bytes
        self._stalls = stalls

    def Ping(self, request: Any, call: Call) -> Any:
        return message_of(pb.Welcome, Welcome(self._state.incarnation, self._frame_bytes))

    def Register(self, request: Any, call: Call) -> Any:
        settings = JobSettings(**fields_of(request.settings))
        return message_of(pb.Registration, self._state.register(request.job, settings))

    def Exists(self, request: Any, call: Call) -> Any:
        return message_of(pb.StepStatus, self._state.exists(request.job, _step(request.step)))

    def Forget(self, request: Any, call: Call) -> Any:
        self._state.forget(request.job, _step(request.through))
        return pb.Nothing()

    def Reset(self, request: Any, call: Call) -> Any:
        self._state.reset(request.job, request.epoch)
        return pb.Nothing()

    def Delete(self, request: Any, call: Call) -> Any:
        return pb.Deleted(jobs=self._state.delete(request.prefix))

    def Statistics(self, request: Any, call: Call) -> Any:
        return message_of(pb.Statistics, self._state.statistics(len(self._stalls)))

    def Push(self, frames: Iterator[Any], call: Call) -> Any:
        pushed, _ = self._received(frames, waits=False)
        return message_of(pb.Pushed, pushed)

    def Pull(self, request: Any, call: Call) -> Iterator[Any]:
        yield from self._sent(self._waited(request, call))

    def PushAndPull(self, frames: Iterator[Any], call: Call) -> Iterator[Any]:
        pushed, head = self._received(frames, waits=True)
        answer = message_of(pb.Pushed, pushed)
        try:
            outgoing = self._waited(head, call)
        except ContributionsMissing as missing:
            yield pb.PullFrame(pushed=answer, missing=missing_message(missing))
            return
        yield from self._sent(outgoing, pushed=answer)

    def _received(self, frames: Iterator[Any], *, waits: bool) -> tuple[Pushed, Any]:
        """Receive the pieces of a message and push it; frames after the last piece are ignored."""
        frame = next_of(frames)
        head = frame.head
        if not frame.HasField("head") or head.HasField("wait_ms") != waits:
            raise InvalidRequest("head: expected, and wait_ms in PushAndPull only")
        step = _step(head.step)
        incoming = self._state.receive(head.job, step, head.rank, head.size, head.attempt)
        try:
            received = self._piece_end(frame, 0, head.size)
            while True:
                if incoming is not None:
                    incoming.write(received - len(frame.piece), frame.piece)
                if received == head.size:
                    break
                frame = next_of(frames)
                if frame.HasField("head"):
                    raise InvalidRequest("frame: expected a piece alone behind the first frame")
                received = self._piece_end(frame, received, head.size)
            if incoming is None:
                return self._state.push_repeated(head.job, step, head.rank), head
            return self._state.push(incoming, head.based_on), head
        finally:
            if incoming is not None:
                incoming.close()

    def _piece_end(self, frame: Any, start: int, size: int) -> int:
        piece_bytes = len(frame.piece)
        if not 0 < piece_bytes <= self._frame_bytes or start + piece_bytes > size:
            raise InvalidRequest(
                f"piece: expected 1 to {self._frame_bytes} bytes, {size} in all; "
                f"got {piece_bytes} at {start}"
            )
        return start + piece_bytes

    def _waited(self, request: Any, call: Call) -> Outgoing:
        wait_s = min(MOST_WAIT_S, max(0, request.wait_ms) / 1000)
        call.waits()
        return self._state.pull(
            request.job, _step(request.step), request.rank, wait_s, request.attempt
        )

    def _sent(self, outgoing: Outgoing, **first: Any) -> Iterator[Any]:
        """Yield the frames of a message; ``first`` are more fields of the first one."""
        try:
            data = outgoing.data
            fields = {"size": len(data), **first}
            for start in range(0, len(data), self._frame_bytes):
                yield pb.PullFrame(piece=bytes(data[start : start + self._frame_bytes]), **fields)
                fields = {}
        finally:
            outgoing.close()


def _step(message: Any) -> Step:
    return Step(message.epoch, message.batch)


def _credentials(
    certificate: Path | None, key: Path | None, client_ca: Path | None
) -> grpc.ServerCredentials | None:
    if certificate is None or key is None:
        return None
    ca = client_ca.read_bytes() if client_ca is not None else None
    pairs = [(key.read_bytes(), certificate.read_bytes())]
    return grpc.ssl_server_credentials(pairs, ca, client_ca is not None)
