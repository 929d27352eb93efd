"""A client of the gRPC server, with the methods of the product's client, which speaks Thrift."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf.message_factory import GetMessageClass

from comm.wire import RunningChecksum
from ps_server.generated import parameter_server_pb2 as pb
from ps_server.generated.parameter_server_pb2_grpc import ParameterServerStub
from ps_server.over_grpc import messages
from ps_server.over_grpc.messages import MESSAGE_BYTES, METHODS, message_of, value_of
from ps_server.over_thrift.client import ParameterClient
from ps_server.protocol import refusals
from ps_server.protocol.addresses import Address, Credentials
from ps_server.protocol.calls import MOST_FRAME_BYTES, Encoded, Pushed, Received, Target, Welcome
from ps_server.protocol.refusals import ContributionsMissing, Refusal

_SLOWEST = 2**20  # bytes a second: a deadline of gRPC is that of a whole call
_OPTIONS = {
    "grpc.max_receive_message_length": MOST_FRAME_BYTES + MESSAGE_BYTES,
    "grpc.use_local_subchannel_pool": 1,  # failures of other channels do not count
    "grpc.enable_retries": 0,
    "grpc.enable_http_proxy": 0,
}

T = TypeVar("T")


class GrpcClient(ParameterClient):
    """One channel to a gRPC server, at ``grpc[s]://host:port``."""

    def __init__(self, url: str, credentials: Credentials, timeout_s: float = 30.0) -> None:
        super().__init__(url.replace("grpc", "thrift", 1), credentials, timeout_s)
        self._channel: Any = None
        self._welcome: Welcome | None = None
        self._metadata = ((messages.TOKEN_KEY, f"Bearer {credentials.token}"),)
        self._most_bytes = 0  # of the messages so far

    @property
    def server(self) -> Welcome:
        return self._welcome or self.ping()

    def push(self, target: Target, message: Encoded) -> Pushed:
        pushed: Pushed = self._answer("Push", self._frames(target, message), message.size)
        return pushed

    def pull(self, target: Target, wait_s: float = 0.0) -> Received:
        return self._pulled(target, wait_s)

    def _pulled(self, target: Target, wait_s: float) -> Received:
        request = message_of(pb.PullRequest, target, wait_ms=round(1000 * wait_s))
        timeout_s = self.timeout_s + self._most_bytes / _SLOWEST + wait_s
        with self._stub() as stub:
            frames = stub.Pull(request, timeout_s, metadata=self._metadata)
            return self._collected(next(frames), frames)

    def push_and_pull(
        self, target: Target, message: Encoded, wait_s: float = 0.0
    ) -> tuple[Pushed, Received | ContributionsMissing]:
        """Push, then pull: two round trips."""
        pushed = self.push(target, message)
        self._most_bytes = max(self._most_bytes, message.size)
        try:
            return pushed, self._pulled(target, wait_s)
        except ContributionsMissing as missing:
            return pushed, missing

    def close(self) -> None:
        channel, self._channel, self._welcome = self._channel, None, None
        if channel is not None:
            channel.close()

    def _call(self, kind: type[T], name: str, **arguments: Any) -> T:
        if name == "register":
            self._most_bytes = max(self._most_bytes, arguments["settings"].message_bytes)
        name = name.capitalize()
        request = message_of(GetMessageClass(METHODS[name].input_type), **arguments)
        answer = self._answer(name, request)
        if isinstance(answer, Welcome):
            self._welcome = answer
        assert isinstance(answer, kind)
        return answer

    def _answer(self, name: str, request: Any, n_bytes: int = 0) -> Any:
        """Make a call of ``n_bytes`` with one answer."""
        timeout_s = self.timeout_s + n_bytes / _SLOWEST
        with self._stub() as stub:
            method = getattr(stub, name)
            answer, call = method.with_call(request, timeout_s, metadata=self._metadata)
            self._note_incarnation(call)
            match answer:
                case pb.Deleted():
                    return answer.jobs
                case pb.Nothing():
                    return None
            return value_of(answer)

    def _frames(self, target: Target, message: Encoded) -> Iterator[Any]:
        head = message_of(pb.PushHead, target, size=message.size)
        pieces = message.pieces(self.server.frame_bytes)
        return (
            pb.PushFrame(head=None if offset else head, piece=b"".join(parts))
            for offset, parts in pieces
        )

    def _collected(self, first: Any, frames: Any) -> Received:
        """Receive a message that begins with the frame ``first``."""
        size, received, piece = first.size, 0, first.piece
        data, checksum = self._next_buffer(size), RunningChecksum()
        self._most_bytes = max(self._most_bytes, size)
        while received + len(piece) <= size:
            data[received : received + len(piece)] = piece
            checksum.add(data[received : received + len(piece)])
            received += len(piece)
            frame = next(frames, None)
            if frame is None:
                break
            piece = frame.piece
        if received != size or frame is not None:
            raise ConnectionError(f"{self.address}: {received} bytes of a message of {size}")
        self._note_incarnation(frames)
        return Received(data, checksum.value())

    @contextmanager
    def _stub(self) -> Iterator[ParameterServerStub]:
        """Yield a stub; the channel is closed after an error other than a refusal."""
        try:
            if self._channel is None:
                self._channel = _channel(self.address, self.credentials)
            yield ParameterServerStub(self._channel)
        except grpc.RpcError as error:
            self._note_incarnation(error)
            metadata = error.trailing_metadata() or ()
            refusal = refusal_of(error.code(), error.details() or "", metadata)
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


def refusal_of(code: grpc.StatusCode, details: str, metadata: messages.Metadata) -> Refusal | None:
    """Return the refusal in a status, or None if the status has another cause."""
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return refusals.AccessDenied("the token is wrong")
    found: dict[str, Any] = dict(metadata)
    kind = getattr(refusals, found.get(messages.REFUSAL_KEY, ""), None)
    if kind is None:
        return None
    fields = pb.RefusalFields.FromString(found.get(messages.FIELDS_KEY, b""))
    refusal: Refusal = kind(details, **{name: getattr(fields, name) for name in kind.fields})
    return refusal


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
