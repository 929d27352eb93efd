"""A client of the parameter server over gRPC."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf.message_factory import GetMessageClass

from ps_server.generated import parameter_server_pb2 as pb
from ps_server.generated.parameter_server_pb2_grpc import ParameterServerStub
from ps_server.over_grpc import messages
from ps_server.over_grpc.messages import MESSAGE_BYTES, message_of, value_of
from ps_server.protocol.addresses import Address, Credentials
from ps_server.protocol.calls import MOST_FRAME_BYTES, Pushed, Received, Target, Welcome
from ps_server.protocol.clients import Encoded, ParameterClient
from ps_server.protocol.refusals import ContributionsMissing

_SLOWEST = 2**20  # bytes a second: a deadline of gRPC is that of a whole call
_OPTIONS = {
    "grpc.max_receive_message_length": MOST_FRAME_BYTES + MESSAGE_BYTES,
    "grpc.use_local_subchannel_pool": 1,  # failures of other channels do not count
    "grpc.enable_retries": 0,
    "grpc.enable_http_proxy": 0,  # which is for the internet
}

T = TypeVar("T")


class GrpcClient(ParameterClient):
    """One channel to a parameter server over gRPC."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._channel: Any = None
        self._welcome: Welcome | None = None
        self._metadata = ((messages.TOKEN_KEY, f"Bearer {self.credentials.token}"),)
        self._most_bytes = 0  # of the messages so far

    @property
    def server(self) -> Welcome:
        return self._welcome or self.ping()

    def push(self, target: Target, message: Encoded) -> Pushed:
        pushed: Pushed = self._answer("Push", self._frames(target, message), message.size)
        return pushed

    def pull(self, target: Target, wait_s: float = 0.0) -> Received:
        request = message_of(pb.PullRequest, target, wait_ms=round(1000 * wait_s))
        timeout_s = self.timeout_s + self._most_bytes / _SLOWEST + wait_s
        with self._connected() as stub:
            frames = stub.Pull(request, timeout_s, metadata=self._metadata)
            return self._collected(next(frames), frames)

    def push_and_pull(
        self, target: Target, message: Encoded, wait_s: float = 0.0
    ) -> tuple[Pushed, Received | ContributionsMissing]:
        sent = self._frames(target, message, wait_ms=round(1000 * wait_s))
        timeout_s = self.timeout_s + (message.size + self._most_bytes) / _SLOWEST + wait_s
        with self._connected() as stub:
            frames = stub.PushAndPull(sent, timeout_s, metadata=self._metadata)
            first = next(frames)
            pushed = value_of(first.pushed)
            if not first.HasField("missing"):
                return pushed, self._collected(first, frames)
            for _ in frames:  # to its end, where its metadata are
                pass
            self._note_incarnation(frames)
            return pushed, value_of(first.missing)

    def close(self) -> None:
        channel, self._channel, self._welcome = self._channel, None, None
        if channel is not None:
            channel.close()

    def _call(self, kind: type[T], name: str, **arguments: Any) -> T:
        if name == "register":
            self._most_bytes = max(self._most_bytes, arguments["settings"].message_bytes)
        name = name.capitalize()
        request = message_of(GetMessageClass(messages.METHODS[name].input_type), **arguments)
        answer = self._answer(name, request)
        if isinstance(answer, Welcome):
            self._welcome = answer
        assert isinstance(answer, kind)
        return answer

    def _answer(self, name: str, request: Any, n_bytes: int = 0) -> Any:
        """Make a call of ``n_bytes`` with one answer."""
        timeout_s = self.timeout_s + n_bytes / _SLOWEST
        with self._connected() as stub:
            method = getattr(stub, name)
            answer, call = method.with_call(request, timeout_s, metadata=self._metadata)
            self._note_incarnation(call)
            return value_of(answer)

    def _frames(self, target: Target, message: Encoded, **more: int) -> Iterator[Any]:
        head = message_of(pb.PushHead, target, size=message.size, **more)
        pieces = message.pieces(self.server.frame_bytes)
        return (
            pb.PushFrame(head=None if offset else head, piece=b"".join(parts))
            for offset, parts in pieces
        )

    def _collected(self, first: Any, frames: Any) -> Received:
        """Receive a message that begins with the frame ``first``."""
        size, received, piece = first.size, 0, first.piece
        data = self._next_buffer(size)
        self._most_bytes = max(self._most_bytes, size)
        while received + len(piece) <= size:
            data[received : received + len(piece)] = piece
            received += len(piece)
            frame = next(frames, None)
            if frame is None:
                break
            piece = frame.piece
        if received != size or frame is not None:
            raise ConnectionError(f"{self.address}: {received} bytes of a message of {size}")
        self._note_incarnation(frames)
        return Received(data)

    @contextmanager
    def _connected(self) -> Iterator[ParameterServerStub]:
        """Yield a stub; the channel is closed after an error other than a refusal."""
        try:
            if self._channel is None:
                self._channel = _channel(self.address, self.credentials)
            yield ParameterServerStub(self._channel)
        except grpc.RpcError as error:
            self._note_incarnation(error)
            metadata = error.trailing_metadata() or ()
            refusal = messages.refusal_of(error.code(), error.details() or "", metadata)
            if refusal is not None:
                raise refusal from None
            self.close()  # a new channel tries at once; this one would wait ever longer
            _raise_clearly(error, self.address)
        except BaseException:
            self.close()
            raise

    def _note_incarnation(self, call: Any) -> None:
        # A channel connects again without telling, perhaps to a server with other settings.
        found = dict(call.trailing_metadata() or ()).get(messages.INCARNATION_KEY)
        if found and self._welcome is not None and found != self._welcome.incarnation:
            self._welcome = None  # `server` asks again


def _channel(address: Address, credentials: Credentials) -> grpc.Channel:
    host = f"[{address.host}]" if ":" in address.host else address.host
    target, options = f"{host}:{address.port}", [*_OPTIONS.items()]
    if not address.is_encrypted:
        return grpc.insecure_channel(target, options)

    def content(path: str | None) -> bytes | None:
        return Path(path).read_bytes() if path else None

    default = ssl.get_default_verify_paths().cafile
    ca = credentials.ca.encode() or content(credentials.ca_file or default)
    key, certificate = content(credentials.key_file), content(credentials.certificate_file)
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(ca, key, certificate), options)


def _raise_clearly(error: Any, address: Address) -> NoReturn:
    code, details = error.code(), error.details()
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        raise TimeoutError(f"{address}: no answer in time") from error
    raise ConnectionError(f"{address}: {code.name}: {details}") from error
