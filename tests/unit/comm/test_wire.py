"""Messages survive the wire whole, or are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from comm.sums import chunk_slices, cut, join, sum_in_rank_order
from comm.wire import Message, decode, encode
from stepml.job.errors import CompressionError, DamagedValueError

FINITE = st.floats(-1000, 1000, width=32)
VECTORS = arrays.arrays(np.float32, st.integers(0, 40), elements=FINITE)
TRAILERS = arrays.arrays(np.float64, st.integers(0, 4))


@given(VECTORS | arrays.arrays(np.float64, st.integers(0, 40)), TRAILERS, st.booleans())
def test_messages_survive_the_wire(vector: np.ndarray, trailer: np.ndarray, pause: bool) -> None:
    back = decode(encode(Message(vector, trailer, pause)), "x")
    assert back.vector.dtype == vector.dtype
    assert back.vector.tobytes() == vector.tobytes()
    assert back.trailer.tobytes() == trailer.tobytes()
    assert back.pause is pause


@given(VECTORS, TRAILERS)
def test_float16_rounds_the_vector_once_and_leaves_the_trailer(
    vector: np.ndarray, trailer: np.ndarray
) -> None:
    sent = encode(Message(vector, trailer), "float16")
    back = decode(sent, "x")
    assert back.vector.dtype == np.float32
    assert back.vector.tobytes() == vector.astype(np.float16).astype(np.float32).tobytes()
    assert back.trailer.tobytes() == trailer.tobytes()
    assert bytes(encode(back, "float16")) == bytes(sent)


def test_float16_halves_the_bytes_of_float32_and_leaves_float64() -> None:
    message = Message(np.ones(1000, np.float32), np.zeros(0))
    assert len(encode(message, "float16")) == 32 + 2000
    wide = Message(np.ones(1000), np.zeros(0))
    assert bytes(encode(wide, "float16")) == bytes(encode(wide))


def test_numbers_that_float16_cannot_hold_are_refused() -> None:
    message = Message(np.array([1, 70_000], np.float32), np.zeros(0))
    with pytest.raises(CompressionError, match=r"up to 65,504, got 70000; use none"):
        encode(message, "float16")


@pytest.mark.parametrize("cut_at", [0, 1, 31, 32, 100])
def test_a_cut_message_is_damaged(cut_at: int) -> None:
    whole = encode(Message(np.ones(50, np.float32), np.zeros(1)))
    with pytest.raises(DamagedValueError):
        decode(whole[:cut_at], "x")


@pytest.mark.parametrize("compression", ["none", "float16"])
def test_every_flipped_bit_is_noticed(compression: str) -> None:
    data = encode(Message(np.arange(5, dtype=np.float32), np.ones(2), pause=True), compression)
    for position in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(DamagedValueError):
            decode(flipped, "x")


def test_only_vectors_of_floats_are_taken() -> None:
    with pytest.raises(TypeError, match="float32 or float64, got int64"):
        encode(Message(np.arange(3), np.zeros(0)))
    with pytest.raises(TypeError, match=r"one dimension, got shape \(2, 2\)"):
        encode(Message(np.zeros((2, 2), np.float32), np.zeros(0)))


@given(VECTORS, TRAILERS, st.integers(1, 9))
def test_chunks_join_to_what_was_cut(vector: np.ndarray, trailer: np.ndarray, chunks: int) -> None:
    parts = cut(Message(vector, trailer, pause=True), chunks)
    assert len(parts) == chunks
    assert [part.trailer.size for part in parts[1:]] == [0] * (chunks - 1)
    back = join(parts)
    assert back.vector.tobytes() == vector.tobytes()
    assert back.trailer.tobytes() == trailer.tobytes()
    assert back.pause


@given(st.integers(0, 1000), st.integers(1, 50))
def test_chunks_differ_by_one_at_most(size: int, chunks: int) -> None:
    sizes = [each.stop - each.start for each in chunk_slices(size, chunks)]
    assert sum(sizes) == size
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(1, 8), st.integers(0, 20), st.sampled_from([np.float32, np.float64]))
def test_the_sum_is_taken_in_rank_order(world_size: int, size: int, dtype: type) -> None:
    rng = np.random.default_rng(size)
    messages = [
        Message(rng.normal(size=size).astype(dtype), rng.normal(size=2), pause=rank == 1)
        for rank in range(world_size)
    ]
    expected = messages[0].vector.copy()
    for message in messages[1:]:
        expected += message.vector
    aggregate = sum_in_rank_order(messages, "none")
    assert aggregate.message.vector.tobytes() == expected.tobytes()
    assert aggregate.message.pause is (world_size > 1)
    assert decode(aggregate.data, "x").vector.tobytes() == expected.tobytes()


def test_ranks_of_different_size_are_refused() -> None:
    messages = [Message(np.ones(size, np.float32), np.zeros(2)) for size in (3, 4)]
    with pytest.raises(DamagedValueError, match=r"rank 1 contributed 4 \+ 2 numbers, rank 0 3"):
        sum_in_rank_order(messages, "none")
