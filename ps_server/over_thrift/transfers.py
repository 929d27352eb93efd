"""Messages that a connection pushes and pulls in pieces."""

from __future__ import annotations

from dataclasses import dataclass

from thrift.protocol.TProtocol import TProtocolException

from ps_server.over_thrift import packing
from ps_server.over_thrift.transport import SocketTransport
from ps_server.protocol.calls import MOST_WAIT_S, Pushed
from ps_server.protocol.refusals import InvalidRequest, Refusal
from ps_server.state.jobs import Incoming
from ps_server.state.memory import Block
from ps_server.state.parameters import Parameters
from stepml.job.step import Step

_Key = tuple[str, Step, int]  # job, step and rank


@dataclass(slots=True)
class _Upload:
    key: _Key | None  # None: of a refused piece
    size: int
    into: Incoming | Pushed | Refusal  # memory; or the answer, and the bytes are dropped
    received: int = 0


class Transfers:
    """The message that a connection pushes at the moment, and the one that it pulls.

    Pieces have at most ``frame_bytes``.
    """

    def __init__(self, parameters: Parameters, frame_bytes: int) -> None:
        self._parameters = parameters
        self._frame_bytes = frame_bytes
        self._upload: _Upload | None = None
        self._refused: _Key | None = None  # the push that was refused last
        self._pulled: tuple[_Key, Block] | None = None  # while pieces are left
        self._sent_bytes = 0  # of it, with the piece that leaves at the next flush

    @property
    def hold_memory(self) -> bool:
        """Whether more pieces are due, for which memory is held."""
        uploads = self._upload is not None and isinstance(self._upload.into, Incoming)
        return uploads or self._pulled is not None

    def close(self) -> None:
        """Give all memory back."""
        self._end_upload()
        self._end_pull()

    def read_push(self, transport: SocketTransport) -> packing.PushCall:
        """Read a call up to its piece, the size of which is allowed."""
        call = packing.read_push(transport)
        if not 0 <= call.piece_bytes <= self._frame_bytes:
            text = f"a piece of {call.piece_bytes} bytes"
            raise TProtocolException(TProtocolException.SIZE_LIMIT, text)
        return call

    def answer_push(self, number: int, call: packing.PushCall, transport: SocketTransport) -> None:
        """Receive a piece into its place, and push its message if it was the last one."""
        try:
            upload = self._upload_of(call)
        except Refusal as refusal:
            self._end_upload()
            upload = self._upload = _Upload(None, call.piece_bytes, refusal)
        if isinstance(upload.into, Incoming):
            start, stop = upload.received, upload.received + call.piece_bytes
            transport.read_into(upload.into.memory[start:stop])
            upload.into.arrived(start, stop)
        else:
            transport.drop(call.piece_bytes)
        upload.received += call.piece_bytes
        packing.require_end(transport.readAll(1), packing.PUSH_TAIL)
        transport.write(packing.pack_pushed(number, self._pushed(upload)))

    def answer_pull(self, number: int, transport: SocketTransport) -> None:
        """Write the piece that is asked for; after the flush, call `flushed`."""
        call = packing.read_pull(transport)
        key, offset = call.target[:3], call.offset
        if offset < 0 or call.limit < 1:
            text = f"offset, limit: expected 0, 1 or more, got {offset}, {call.limit}"
            raise InvalidRequest(text)
        if offset == 0:
            self._end_pull()
            self._pulled = key, self._waited(key, call)
        if self._pulled is None or self._pulled[0] != key:
            raise InvalidRequest(f"offset: expected 0, got {offset}")
        data = self._pulled[1].data.data
        piece = data[offset : offset + min(call.limit, self._frame_bytes)]
        head = packing.pack_pulled(number, len(data), len(piece))
        for part in (head, piece, packing.PULLED_TAIL):
            transport.write(part)
        self._sent_bytes = offset + len(piece)

    def flushed(self) -> None:
        """Give the memory of the last pull back, if its last piece has left."""
        if self._pulled is not None and self._sent_bytes >= len(self._pulled[1].data):
            self._end_pull()

    def _pushed(self, upload: _Upload) -> Pushed:
        if isinstance(upload.into, Refusal):
            raise upload.into
        if upload.received < upload.size:
            return Pushed(is_repeated=False)  # of a piece
        self._upload = None
        if isinstance(upload.into, Pushed):
            return upload.into
        try:
            return self._parameters.push(upload.into)
        except Refusal:
            self._refused = upload.key
            raise

    def _upload_of(self, call: packing.PushCall) -> _Upload:
        """Return the upload to which a piece belongs; the first piece begins it."""
        key = call.target[:3]
        if call.offset == 0:
            self._end_upload()
            self._upload = self._begun(call)
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

    def _begun(self, call: packing.PushCall) -> _Upload:
        key, self._refused = call.target[:3], None
        try:
            return _Upload(key, call.size, self._parameters.receive(call.target, call.size))
        except Refusal as refusal:
            self._refused = key
            return _Upload(key, call.size, refusal)

    def _end_upload(self) -> None:
        upload, self._upload = self._upload, None
        if upload is not None and isinstance(upload.into, Incoming):
            upload.into.close()

    def _end_pull(self) -> None:
        pulled, self._pulled = self._pulled, None
        if pulled is not None:
            pulled[1].drop()

    def _waited(self, key: _Key, call: packing.PullCall) -> Block:
        wait_s = min(MOST_WAIT_S, max(0, call.wait_ms) / 1000)
        if key == self._refused:  # the pull was sent with the push: a wait would delay the refusal
            self._refused, wait_s = None, 0.0
        return self._parameters.pull(call.target, wait_s)
