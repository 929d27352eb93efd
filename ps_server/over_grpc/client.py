"""A client of the parameter server over gRPC."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

import grpc
import numpy as np
from grpc.experimental import ChannelOptions

from comm.wire import Encoded
from ps_server.generated import parameter_server_pb2 as pb
from ps_server.over_grpc.messages import (
    INCARNATION_KEY,
    MESSAGE_BYTES,
    SERVICE,
    TOKEN_KEY,
    joined,
    plain,
    refusal_of,
    settings_message,
    split,
    step_message,
)
from ps_server.protocol.addresses import Address, Credentials
from ps_server.protocol.calls import (
    LEAST_FRAME_BYTES,
    MOST_FRAME_BYTES,
    JobSettings,
    JobStatistics,
    Pushed,
    Received,
    Registration,
    Statistics,
    StepStatus,
    Welcome,
)
from ps_server.protocol.clients import ParameterClient
from ps_server.protocol.refusals import ContributionsMissing, Refusal
from stepml.job.step import Step

_MOST_MESSAGE_BYTES = 2**40
_SLOWEST = 2**20  # bytes a second: a deadline of gRPC is that of a whole call

T = TypeVar("T")


class GrpcClient(ParameterClient):
    """One channel to a parameter server over gRPC; parameters as of `open_client`."""

    def __init__(self, address: Address, credentials: Credentials, timeout_s: float) -> None:
        self._address = address
        self._credentials = credentials
        self._timeout_s = timeout_s
        self._channel: Any = None
        self._welcome: Welcome | None = None
        self._metadata = ((TOKEN_KEY, f"Bearer {credentials.token}"),)
        self._most_bytes = 0  # of the messages so far
        self._buffers = [np.empty(0, np.uint8), np.empty(0, np.uint8)]

    @property
    def server(self) -> Welcome:
        return self._welcome or self.ping()

    def ping(self) -> Welcome:
        found = self._call("Ping", pb.Nothing(), pb.Welcome)
        self._welcome = Welcome(found.incarnation, found.frame_bytes)
        return self._welcome

    def register(self, job: str, settings: JobSettings) -> Registration:
        self._most_bytes = max(self._most_bytes, settings.message_bytes)
        request = pb.RegisterRequest(job=job, settings=settings_message(settings))
        return Registration(**plain(self._call("Register", request, pb.Registration)))

    def exists(self, job: str, step: Step) -> StepStatus:
        request = pb.ExistsRequest(job=job, step=step_message(step))
        return StepStatus(**plain(self._call("Exists", request, pb.StepStatus)))

    def push(
        self,
        job: str,
        step: Step,
        rank: int,
        message: Encoded,
        *,
        attempt: str = "",
        based_on: int = 0,
    ) -> Pushed:
        head = _push_head(job, step, rank, message, attempt, based_on)
        frame_bytes = self._frame_bytes()

        def act() -> Pushed:
            channel, frames = self._connected(), _frames(head, message, frame_bytes)
            timeout_s = self._timeout_of(message.size)
            # gRPC starts a thread for a stream of frames; of one frame it makes none.
            sent: Any
            if message.size <= frame_bytes:
                method, sent = channel.unary_unary(_path("Push")), next(frames)
            else:
                method, sent = channel.stream_unary(_path("Push")), frames
            answer, call = method.with_call(sent, timeout_s, metadata=self._metadata)
            self._look_at(call)
            return _pushed(pb.Pushed.FromString(answer))

        return self._guarded(act)

    def pull(
        self, job: str, step: Step, rank: int, *, attempt: str = "", wait_s: float = 0.0
    ) -> Received:
        request = pb.PullRequest(
            job=job,
            step=step_message(step),
            rank=rank,
            attempt=attempt,
            wait_ms=round(1000 * wait_s),
        )

        def act() -> Received:
            method = self._connected().unary_stream(_path("Pull"))
            timeout_s = self._timeout_of(self._most_bytes) + wait_s
            call = method(request.SerializeToString(), timeout_s, metadata=self._metadata)
            head, piece = _first(call)
            data = self._collected(head.size, piece, call)
            self._look_at(call)
            return Received(data)

        return self._guarded(act)

    def push_and_pull(
        self,
        job: str,
        step: Step,
        rank: int,
        message: Encoded,
        *,
        attempt: str = "",
        based_on: int = 0,
        wait_s: float = 0.0,
    ) -> tuple[Pushed, Received | ContributionsMissing]:
        head = _push_head(job, step, rank, message, attempt, based_on)
        head.wait_ms = round(1000 * wait_s)
        frame_bytes = self._frame_bytes()

        def act() -> tuple[Pushed, Received | ContributionsMissing]:
            channel, frames = self._connected(), _frames(head, message, frame_bytes)
            timeout_s = self._timeout_of(message.size + self._most_bytes) + wait_s
            sent: Any
            if message.size <= frame_bytes:
                method, sent = channel.unary_stream(_path("PushAndPull")), next(frames)
            else:
                method, sent = channel.stream_stream(_path("PushAndPull")), frames
            call = method(sent, timeout_s, metadata=self._metadata)
            first, piece = _first(call)
            told: Received | ContributionsMissing
            if first.HasField("missing"):
                missing = first.missing
                told = ContributionsMissing(missing.message, missing.ranks, missing.frontier)
                for _ in call:  # to its end, where its metadata are
                    pass
            else:
                told = Received(self._collected(first.size, piece, call))
            self._look_at(call)
            return _pushed(first.pushed), told

        return self._guarded(act)

    def forget(self, job: str, through: Step) -> None:
        self._call("Forget", pb.ForgetRequest(job=job, through=step_message(through)), pb.Nothing)

    def reset(self, job: str, epoch: int) -> None:
        self._call("Reset", pb.ResetRequest(job=job, epoch=epoch), pb.Nothing)

    def delete(self, prefix: str) -> int:
        n_jobs: int = self._call("Delete", pb.DeleteRequest(prefix=prefix), pb.Deleted).jobs
        return n_jobs

    def statistics(self) -> Statistics:
        found = self._call("Statistics", pb.Nothing(), pb.Statistics)
        jobs = tuple(JobStatistics(**plain(job)) for job in found.jobs)
        return Statistics(**{**plain(found), "jobs": jobs})

    def close(self) -> None:
        channel, self._channel, self._welcome = self._channel, None, None
        if channel is not None:
            channel.close()

    def _call(self, name: str, request: Any, kind: Any) -> Any:
        def act() -> Any:
            method = self._connected().unary_unary(_path(name))
            data, call = method.with_call(
                request.SerializeToString(), self._timeout_s, metadata=self._metadata
            )
            self._look_at(call)
            return kind.FromString(data)

        return self._guarded(act)

    def _guarded(self, act: Callable[[], T]) -> T:
        """Have a call made; after an error, but for a refusal, the channel is closed."""
        try:
            return act()
        except grpc.RpcError as error:
            if refusal := self._refusal(error):
                raise refusal from None
            self.close()  # another one tries again at once; this one would wait ever longer
            _raise_clearly(error, self._address)
        except BaseException:
            self.close()
            raise

    def _refusal(self, error: Any) -> Refusal | None:
        metadata = error.trailing_metadata() or ()
        self._look_at(error)
        return refusal_of(error.code(), error.details() or "", metadata)

    def _frame_bytes(self) -> int:
        if self.server.frame_bytes == LEAST_FRAME_BYTES:  # perhaps only until it is asked
            return self.ping().frame_bytes
        return self.server.frame_bytes

    def _look_at(self, call: Any) -> None:
        """Take note of the server's incarnation: channels connect again without a word."""
        told = dict(call.trailing_metadata() or ()).get(INCARNATION_KEY)
        known = self._welcome
        if told and known is not None and told != known.incarnation:
            # It may have been started with other settings, too: until it is asked, any takes this.
            self._welcome = Welcome(str(told), min(known.frame_bytes, LEAST_FRAME_BYTES))

    def _connected(self) -> Any:
        if self._channel is None:
            options = [
                ("grpc.max_receive_message_length", MOST_FRAME_BYTES + MESSAGE_BYTES),
                ("grpc.use_local_subchannel_pool", 1),  # nobody else's failures count
                ("grpc.enable_retries", 0),
                ("grpc.enable_http_proxy", 0),  # which is for the internet
                (ChannelOptions.SingleThreadedUnaryStream, 1),
            ]
            host = self._address.host
            target = f"{f'[{host}]' if ':' in host else host}:{self._address.port}"
            if self._address.is_encrypted:
                credentials = _channel_credentials(self._credentials)
                self._channel = grpc.secure_channel(target, credentials, options)
            else:
                self._channel = grpc.insecure_channel(target, options)
        return self._channel

    def _collected(self, size: int, piece: memoryview, frames: Iterator[bytes]) -> memoryview:
        """Return a message of which ``piece`` is the first and the rest is in ``frames``."""
        if not 0 < size <= _MOST_MESSAGE_BYTES:
            raise ConnectionError(f"{self._address}: a message of {size} bytes")
        data, received = self._next_buffer(size), 0
        while True:
            start, received = received, received + len(piece)
            if received > size:
                break
            data[start:received] = piece
            frame = next(frames, None)
            if frame is None:
                break
            _, piece = split(frame)
        if received != size:
            raise ConnectionError(f"{self._address}: {received} bytes of a message of {size}")
        return data

    def _timeout_of(self, n_bytes: int) -> float:
        return self._timeout_s + n_bytes / _SLOWEST

    def _next_buffer(self, size: int) -> memoryview:
        self._most_bytes = max(self._most_bytes, size)
        self._buffers.reverse()
        if len(self._buffers[0]) < size:
            self._buffers[0] = np.empty(size, np.uint8)
        return self._buffers[0].data[:size]


def _path(name: str) -> str:
    return f"/{SERVICE.full_name}/{name}"


def _push_head(
    job: str, step: Step, rank: int, message: Encoded, attempt: str, based_on: int
) -> Any:
    return pb.PushHead(
        job=job,
        step=step_message(step),
        rank=rank,
        attempt=attempt,
        based_on=based_on,
        size=message.size,
    )


def _frames(head: Any, message: Encoded, frame_bytes: int) -> Iterator[bytes]:
    fields = pb.PushFrame(head=head).SerializeToString()
    for _, parts in message.pieces(frame_bytes):
        yield joined(fields, parts)
        fields = b""


def _first(frames: Iterator[bytes]) -> tuple[Any, memoryview]:
    fields, piece = split(next(frames))
    return pb.PullFrame.FromString(fields), piece


def _pushed(message: Any) -> Pushed:
    return Pushed(message.is_repeated, message.version, message.staleness)


def _channel_credentials(credentials: Credentials) -> grpc.ChannelCredentials:
    def content(path: str | None) -> bytes | None:
        if not path:
            return None
        with open(path, "rb") as file:  # noqa: PTH123 — a name as OpenSSL takes it
            return file.read()

    ca = credentials.ca.encode() or content(
        credentials.ca_file or ssl.get_default_verify_paths().cafile
    )
    return grpc.ssl_channel_credentials(
        ca, content(credentials.key_file), content(credentials.certificate_file)
    )


def _raise_clearly(error: Any, address: Address) -> NoReturn:
    code, details = error.code(), error.details()
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        raise TimeoutError(f"{address}: no answer in time") from error
    raise ConnectionError(f"{address}: {code.name}: {details}") from error
