"""Messages that a connection pushes and pulls in pieces."""

from __future__ import annotations

from dataclasses import dataclass

from ps_server.over_thrift.packing import PullCall, PushCall
from ps_server.over_thrift.transport import SocketTransport
from ps_server.protocol.calls import MOST_WAIT_S, Pushed
from ps_server.protocol.clients import Target
from ps_server.protocol.refusals import InvalidRequest, Refusal
from ps_server.state.parameters import Parameters
from ps_server.state.transit import Incoming, Outgoing
from stepml.job.step import Step

_Key = tuple[str, Step, int]  # job, step and rank


@dataclass(slots=True)
class _Upload:
    key: _Key | None  # None: of a refused piece
    size: int
    received: int = 0
    incoming: Incoming | None = None  # None: it is not needed, or was refused
    refusal: Refusal | None = None


class Transfers:
    """The message that a connection pushes at the moment, and the one that it pulls.

    Parameters
    ----------
    parameters : Parameters
    frame_bytes : int
        The largest piece.
    """

    def __init__(self, parameters: Parameters, frame_bytes: int) -> None:
        self._parameters = parameters
        self._frame_bytes = frame_bytes
        self._upload: _Upload | None = None
        self._refused: _Key | None = None  # the push that was refused last
        self._pulled: _Key | None = None
        self._outgoing: Outgoing | None = None  # of the last pull, while pieces are left
        self._pulled_bytes = 0

    @property
    def hold_memory(self) -> bool:
        """Whether more pieces are due, for which memory is held."""
        uploads = self._upload is not None and self._upload.incoming is not None
        return uploads or self._outgoing is not None

    def close(self) -> None:
        """Give all memory back."""
        self._end_upload()
        self.end_pull()

    def receive(self, call: PushCall, transport: SocketTransport) -> None:
        """Receive a piece into its place; one that is not needed is dropped."""
        try:
            upload = self._upload_of(call)
        except Refusal as refusal:
            self._end_upload()
            upload = self._upload = _Upload(None, call.piece_bytes, refusal=refusal)
        if upload.incoming is None:
            transport.drop(call.piece_bytes)
        else:
            start, stop = upload.received, upload.received + call.piece_bytes
            transport.read_into(upload.incoming.memory[start:stop])
            upload.incoming.arrived(start, stop)
        upload.received += call.piece_bytes

    def push(self, based_on: int) -> Pushed:
        """Push the message of which a piece was received, if it was the last one."""
        upload = self._upload
        assert upload is not None
        if upload.refusal is not None:
            raise upload.refusal
        if upload.received < upload.size:
            return Pushed(is_repeated=False)  # of a piece
        self._upload = None
        assert upload.key is not None
        if upload.incoming is None:
            return self._parameters.push_repeated(*upload.key)
        try:
            return self._parameters.push(upload.incoming, based_on)
        except Refusal:
            self._refused = upload.key
            raise

    def pull(self, call: PullCall) -> tuple[int, memoryview]:
        """Return the size of a message and the piece that was asked for."""
        key, offset = _key(call.target), call.offset
        if offset < 0 or call.limit < 1:
            raise InvalidRequest(
                f"offset, limit: expected 0, 1 or more, got {offset}, {call.limit}"
            )
        if offset == 0:
            self.end_pull()
            self._pulled, self._outgoing = None, self._waited(key, call)
            self._pulled, self._pulled_bytes = key, len(self._outgoing.data)
        if self._pulled != key:
            raise InvalidRequest(f"offset: expected 0, got {offset}")
        stop = offset + min(call.limit, self._frame_bytes)
        data = memoryview(b"") if self._outgoing is None else self._outgoing.data
        return self._pulled_bytes, data[offset:stop]

    def end_pull(self) -> None:
        """Give the memory of the last pull back."""
        outgoing, self._outgoing = self._outgoing, None
        if outgoing is not None:
            outgoing.close()

    def _upload_of(self, call: PushCall) -> _Upload:
        """Return the upload to which a piece belongs; the first piece begins it."""
        key = _key(call.target)
        if call.offset == 0:
            self._end_upload()
            self._upload = self._begun(key, call)
        upload = self._upload
        if upload is None or upload.key != key or call.offset != upload.received:
            expected = upload.received if upload is not None and upload.key == key else 0
            raise InvalidRequest(f"offset: expected {expected}, got {call.offset}")
        if call.size != upload.size or call.offset + call.piece_bytes > call.size:
            raise InvalidRequest(
                f"size: expected {upload.size}, in pieces that end there, got {call.size} and a "
                f"piece of {call.piece_bytes} bytes at {call.offset}"
            )
        return upload

    def _begun(self, key: _Key, call: PushCall) -> _Upload:
        self._refused = None
        try:
            incoming = self._parameters.receive(*key, call.size, call.target.attempt)
        except Refusal as refusal:
            self._refused = key
            return _Upload(key, call.size, refusal=refusal)
        return _Upload(key, call.size, incoming=incoming)

    def _end_upload(self) -> None:
        upload, self._upload = self._upload, None
        if upload is not None and upload.incoming is not None:
            upload.incoming.close()

    def _waited(self, key: _Key, call: PullCall) -> Outgoing:
        wait_s = min(MOST_WAIT_S, max(0, call.wait_ms) / 1000)
        if key == self._refused:  # the pull was sent with the push: a wait would delay the refusal
            self._refused, wait_s = None, 0.0
        return self._parameters.pull(*key, wait_s, call.target.attempt)


def _key(target: Target) -> _Key:
    return target.job, target.step, target.rank
