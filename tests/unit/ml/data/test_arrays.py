"""Containers of arrays are safetensors files, and damaged ones are refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stepml.job.errors import DamagedValueError
from stepml.ml.data import arrays

DTYPES = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]
some_arrays = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=4))
    ),
    max_size=4,
)


def assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert set(ours) == set(theirs)
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype
        assert array.shape == theirs[name].shape
        assert array.tobytes() == theirs[name].tobytes()


@given(some_arrays, st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2))
def test_what_was_packed_is_unpacked(given: dict[str, Any], metadata: dict[str, str]) -> None:
    unpacked, found = arrays.unpack(arrays.pack(given, metadata))
    assert_same(unpacked, given)
    assert found == metadata


@given(some_arrays)
def test_safetensors_reads_what_we_write(given: dict[str, Any]) -> None:
    assert_same(safetensors.numpy.load(bytes(arrays.pack(given, {"a": "b"}))), given)


@given(some_arrays)
def test_we_read_what_safetensors_writes(given: dict[str, Any]) -> None:
    unpacked, metadata = arrays.unpack(safetensors.numpy.save(given, {"epoch": "3"}))
    assert_same(unpacked, given)
    assert metadata == {"epoch": "3"}


def test_unpacked_arrays_are_read_only_views() -> None:
    data = arrays.pack({"w": np.arange(5.0)})
    unpacked, _ = arrays.unpack(data)
    assert not unpacked["w"].flags.owndata
    assert not unpacked["w"].flags.writeable


def test_writable_views_change_the_container() -> None:
    data = arrays.pack({"w": np.arange(5.0)})
    views, _ = arrays.unpack(data, writable=True)
    views["w"] *= 2
    with pytest.raises(DamagedValueError, match="wrong checksum"):
        arrays.unpack(data)
    unpacked, _ = arrays.unpack(arrays.seal(data))
    assert unpacked["w"].tolist() == [0, 2, 4, 6, 8]
    views, _ = arrays.unpack(bytes(data), writable=True)
    assert not views["w"].flags.writeable


def test_every_array_is_aligned_whatever_the_order_and_lengths() -> None:
    given = {"a": np.zeros(3, np.uint8), "b": np.zeros(3, np.float32), "c": np.zeros(3)}
    unpacked, _ = arrays.unpack(bytes(arrays.pack(given)))
    assert all(array.flags.aligned for array in unpacked.values())


def test_equal_arrays_give_equal_bytes() -> None:
    given = {"w": np.arange(3.0), "b": np.ones(2, np.float32)}
    assert arrays.pack(given, {"epoch": "1"}) == arrays.pack(given, {"epoch": "1"})


def test_an_array_that_is_not_contiguous_or_big_endian_keeps_its_values() -> None:
    given = {"t": np.arange(6.0).reshape(2, 3).T, "b": np.arange(4, dtype=">i4")}
    unpacked, _ = arrays.unpack(arrays.pack(given))
    assert all((unpacked[name] == given[name]).all() for name in given)


def test_the_header_says_where_the_bytes_of_rows_are() -> None:
    X = np.arange(12, dtype=np.float32).reshape(4, 3)
    data = arrays.pack({"X": X, "ids": np.arange(4, dtype=np.uint64)})
    place = arrays.header(data[:300]).places["X"]
    start, stop = place.rows(1, 3)
    assert bytes(data[start:stop]) == X[1:3].tobytes()


def test_a_dtype_without_a_place_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'c' has dtype complex128"):
        arrays.pack({"c": np.zeros(2, np.complex128)})


def container(entries: Any, body: bytes = b"") -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + body


def entry(dtype: str = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x00" * 7, id="no length"),
        pytest.param(b"\xff" * 40, id="huge header"),
        pytest.param(container(b"{", b""), id="no JSON"),
        pytest.param(container(b"[1]"), id="no object"),
        pytest.param(container(b"\xff\xfe"), id="no UTF-8"),
        pytest.param(container({"w": 3}, bytes(8)), id="entry is no object"),
        pytest.param(container({"w": entry("F99")}, bytes(8)), id="unknown dtype"),
        pytest.param(container({"w": entry(shape=[3])}, bytes(8)), id="shape and bytes differ"),
        pytest.param(container({"w": entry(shape=[-2, -1])}, bytes(8)), id="negative shape"),
        pytest.param(container({"w": entry(offsets=[4, 12])}, bytes(12)), id="gap"),
        pytest.param(container({"w": entry(), "v": entry()}, bytes(8)), id="overlap"),
        pytest.param(container({"w": entry(offsets=[-8, 0])}, bytes(8)), id="before the body"),
        pytest.param(container({"w": entry()}, bytes(7)), id="cut off"),
        pytest.param(container({"w": entry()}, bytes(9)), id="too long"),
    ],
)
def test_damaged_containers_are_refused(data: bytes) -> None:
    with pytest.raises(DamagedValueError):
        arrays.unpack(data)


@given(st.integers(0, 200), st.integers(0, 255))
def test_a_changed_byte_is_refused_or_changes_no_number(at: int, value: int) -> None:
    given_arrays = {"w": np.arange(6.0).reshape(2, 3), "b": np.ones(2, np.float32)}
    data = arrays.pack(given_arrays)
    data[at % len(data)] = value
    try:
        unpacked, _ = arrays.unpack(data)
    except DamagedValueError:
        return
    # Only damage to the checksum's name is undetected: other programs' containers have none.
    assert_same(unpacked, given_arrays)


def test_a_container_of_other_arrays_is_refused_by_their_names() -> None:
    with pytest.raises(DamagedValueError, match=r"arrays w instead of X, y"):
        arrays.unpack_named(arrays.pack({"w": np.zeros(1)}), ("X", "y"))
