"""Messages in parts, and drafts in place, have the bytes of whole messages."""

from __future__ import annotations

import numpy as np
import pytest

from comm.wire import Compression, Draft, Message, decode, encode
from ps_server.protocol.calls import encode_in_parts


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


@pytest.mark.parametrize("size", [0, 3, 2**16, 2**17 + 1])  # more than one pass takes at once
def test_a_draft_adds_to_a_message_where_it_lies_in_order(size: int) -> None:
    first, *others = (Message(np.full(size, x, np.float32), np.array([x])) for x in (1e8, 1, -1e8))
    data = np.frombuffer(encode(first), np.uint8).copy()
    Draft(size, first.vector.dtype, 1, data).finish(others=others, pause=True)
    changed = decode(data.data, "")
    expected = np.float32(1e8) + np.float32(1) + np.float32(-1e8)
    assert (changed.vector == expected).all()
    assert (changed.trailer.tolist(), changed.pause) == ([1.0], True)
