"""Messages in parts, and drafts in place, have the bytes of whole messages."""

from __future__ import annotations

import numpy as np
import pytest

from comm.wire import Compression, Message, decode, encode, message_bytes
from ps_server.protocol.clients import encode_in_parts
from ps_server.state.rules import draft_over


@pytest.mark.parametrize("most_bytes", [1, 31, 32, 100, 10_000])
@pytest.mark.parametrize("compression", ["none", "float16"])
@pytest.mark.parametrize("size", [0, 1, 7, 1000])
def test_a_message_in_parts_has_the_bytes_of_a_whole_one(
    size: int, compression: Compression, most_bytes: int
) -> None:
    vector = np.arange(2 * size, dtype=np.float32)[::2]  # not in one piece
    message = Message(vector, np.array([1.0, 2.0]), pause=True)
    encoded = encode_in_parts(message, compression)
    whole = bytes(encode(message, compression))
    assert (encoded.size, b"".join(encoded.parts)) == (len(whole), whole)
    pieces = [(offset, b"".join(parts)) for offset, parts in encoded.pieces(most_bytes)]
    assert [offset for offset, _ in pieces] == [*range(0, len(whole), most_bytes)]
    assert b"".join(data for _, data in pieces) == whole
    assert max(len(data) for _, data in pieces) <= most_bytes


def test_a_message_in_parts_is_sent_from_where_it_lies() -> None:
    vector = np.zeros(1000, np.float32)
    assert encode_in_parts(Message(vector, np.zeros(1))).parts[1].obj is vector


def test_a_draft_changes_a_message_where_it_lies() -> None:
    data = np.empty(message_bytes(3, np.dtype(np.float32), 1), np.uint8)
    data[:] = np.frombuffer(encode(Message(np.ones(3, np.float32), np.zeros(1))), np.uint8)
    draft = draft_over(data, decode(data.data, ""))
    draft.vector += 1
    draft.trailer += 5
    draft.finish()
    changed = decode(data.data, "")
    assert (changed.vector.tolist(), changed.trailer.tolist()) == ([2, 2, 2], [5])
