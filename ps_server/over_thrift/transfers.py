"""Messages that a connection pushes and pulls in pieces."""

from __future__ import annotations

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


class Transfers:
    """The message that a connection pushes at the moment, and the one that it pulls.

    Pieces have at most ``frame_bytes``.
    """

    def __init__(self, parameters: Parameters, frame_bytes: int) -> None:
        self._parameters = parameters
        self._frame_bytes = frame_bytes
        self._key: _Key | None = None  # of the last push
        self._incoming: Incoming | None = None  # while its pieces arrive
        self._refusal: Refusal | None = None  # of it; its other pieces come all the same
        self._pulled: tuple[_Key, Block] | None = None  # while pieces are left
        self._sent_bytes = 0  # of it, with the piece that leaves at the next flush

    @property
    def hold_memory(self) -> bool:
        """Whether more pieces are due, for which memory may be held."""
        return self._incoming is not None or self._pulled is not None

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
        place = self._place_of(call)
        if place is None:
            transport.drop(call.piece_bytes)
        else:
            transport.read_into(place)
        packing.require_end(transport.readAll(1), packing.PUSH_TAIL)
        transport.write(packing.pack_pushed(number, self._pushed(call.piece_bytes)))

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

    def _place_of(self, call: packing.PushCall) -> memoryview | None:
        """Return the place of a piece, the first of which begins a push; None: it is dropped."""
        key = call.target[:3]
        try:
            if call.offset == 0:
                self._end_upload()
                self._key, self._refusal = key, None
                self._incoming = self._parameters.receive(call.target, call.size)
            return None if self._refusal is not None else self._next_place(key, call)
        except Refusal as refusal:
            self._end_upload()
            self._refusal = refusal
            return None

    def _next_place(self, key: _Key, call: packing.PushCall) -> memoryview | None:
        incoming = self._incoming if key == self._key else None
        expected = 0 if incoming is None else incoming.received
        if incoming is None or call.offset != expected:
            raise InvalidRequest(f"offset: expected {expected}, got {call.offset}")
        if call.size != incoming.size:
            raise InvalidRequest(f"size: expected {incoming.size}, got {call.size}")
        return incoming.place(call.piece_bytes)

    def _pushed(self, piece_bytes: int) -> Pushed:
        if self._refusal is not None:
            raise self._refusal
        incoming = self._incoming
        assert incoming is not None  # otherwise the piece is refused
        incoming.arrived(piece_bytes)
        if not incoming.is_whole:
            return Pushed(is_repeated=False)  # of a piece
        self._incoming = None
        try:
            return self._parameters.push(incoming)
        except Refusal as refusal:
            self._refusal = refusal
            raise

    def _end_upload(self) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.close()

    def _end_pull(self) -> None:
        pulled, self._pulled = self._pulled, None
        if pulled is not None:
            pulled[1].drop()

    def _waited(self, key: _Key, call: packing.PullCall) -> Block:
        wait_s = min(MOST_WAIT_S, max(0, call.wait_ms) / 1000)
        if self._refusal is not None and key == self._key:
            # The pull was sent with the push: a wait would delay the refusal.
            self._key, wait_s = None, 0.0
        return self._parameters.pull(call.target, wait_s)
