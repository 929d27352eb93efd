"""Ranges cover each byte once, and each line is read by exactly one of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepml.job.errors import BadRowError, DamagedValueError, EmptyDataError
from stepml.ml.data.formats.text.plain_text import PlainText
from stepml.ml.data.formats.text.reading import (
    MAX_LINE_BYTES,
    LineCounter,
    line_blocks,
    line_number,
)
from stepml.ml.data.objects import DataObject
from stepml.ml.data.ranges import MAX_RANGES, RANGE_BYTES, ByteRange, plan_ranges
from tests.support.data_sets import MemoryObjects, described

N_RANGES = [1, 2, 3, 7, 40]


def objects_of(*sizes: int) -> list[DataObject]:
    return [DataObject(f"o{i}", f"o{i}", size, "") for i, size in enumerate(sizes)]


@given(
    st.lists(st.integers(0, 1000), min_size=1, max_size=60).filter(any),
    st.integers(1, MAX_RANGES),
)
def test_ranges_cover_every_byte_once_and_in_order(sizes: list[int], n_ranges: int) -> None:
    tasks = plan_ranges(objects_of(*sizes), n_ranges)
    covered = [
        (part.object_index, byte)
        for parts in tasks
        for part in parts
        for byte in range(part.start, part.stop)
    ]
    assert covered == [(i, byte) for i, size in enumerate(sizes) for byte in range(size)]
    lengths = [sum(part.stop - part.start for part in parts) for parts in tasks]
    assert len(tasks) == min(n_ranges, sum(sizes))
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize(
    ("total", "n_tasks"),
    [(1, 1), (RANGE_BYTES, 1), (RANGE_BYTES + 1, 2), (75_170_064, 5), (2**40, MAX_RANGES)],
)
def test_a_task_has_16_mb_until_there_are_40(total: int, n_tasks: int) -> None:
    assert len(plan_ranges(objects_of(total))) == n_tasks


def test_nothing_to_cut_is_refused() -> None:
    with pytest.raises(EmptyDataError, match="2 objects without content"):
        plan_ranges(objects_of(0, 0))


@pytest.mark.parametrize("n_ranges", [0, 41])
def test_impossible_numbers_of_ranges_are_refused(n_ranges: int) -> None:
    with pytest.raises(ValueError, match=f"1 to 40, not {n_ranges}"):
        plan_ranges(objects_of(100), n_ranges)


def read(
    text: bytes,
    n_ranges: int,
    *,
    header: bool,
    request_bytes: int = 5,
    block_bytes: int = 3,
    max_line_bytes: int = MAX_LINE_BYTES,
) -> list[tuple[int, bytes]]:
    """Return (offset, line) of everything that the ranges of one object yield."""
    store = MemoryObjects(x=text)
    objects = described(store)
    lines = []
    for (part,) in plan_ranges(objects, n_ranges):
        for block in line_blocks(
            PlainText(store, objects[0], request_bytes=request_bytes),
            part,
            first_row=text.index(b"\n") + 1 if header and b"\n" in text else header * len(text),
            block_bytes=block_bytes,
            max_line_bytes=max_line_bytes,
        ):
            offset = block.offset
            assert block.text.endswith(b"\n")
            for line in block.text.split(b"\n")[:-1]:
                lines.append((offset, line))
                offset += len(line) + 1
    return lines


def plain_lines(text: bytes) -> list[tuple[int, bytes]]:
    lines = []
    offset = 0
    for line in text.removesuffix(b"\n").split(b"\n"):
        lines.append((offset, line))
        offset += len(line) + 1
    return lines


@given(
    st.text("ab\n\r,", min_size=1, max_size=60).map(str.encode),
    st.sampled_from(N_RANGES),
    st.booleans(),
    st.integers(1, 20),
    st.integers(1, 20),
)
def test_every_line_is_read_once_wherever_ranges_requests_and_blocks_cut(
    text: bytes, n_ranges: int, header: bool, request_bytes: int, block_bytes: int
) -> None:
    lines = read(
        text, n_ranges, header=header, request_bytes=request_bytes, block_bytes=block_bytes
    )
    assert lines == plain_lines(text)[int(header) :]


@pytest.mark.parametrize("n_ranges", N_RANGES)
def test_lines_much_longer_than_ranges_are_read_once(n_ranges: int) -> None:
    text = b"\n".join([b"x" * 200_000, b"", b"y" * 70_000, b"z"])
    lines = read(text, n_ranges, header=False, request_bytes=1000, block_bytes=1000)
    assert lines == plain_lines(text)


def test_a_line_that_a_range_must_hold_is_bounded() -> None:
    with pytest.raises(BadRowError, match="s3 object x, line 3: longer than 1 MB"):
        read(
            b"a\nb\n" + b"x" * 2**22,
            1,
            header=False,
            request_bytes=2**16,
            max_line_bytes=2**20,
        )


def test_no_request_is_larger_than_told() -> None:
    store = MemoryObjects(x=b"1,2\n" * 500_000)
    (data,) = described(store)
    list(
        line_blocks(PlainText(store, data, request_bytes=10**5), ByteRange(0, 0, data.value_bytes))
    )
    assert store.largest_read_bytes == 10**5


def test_ranges_read_little_of_each_other() -> None:
    store = MemoryObjects(x=b"1,2\n" * 2**20)
    (data,) = described(store)
    for (part,) in plan_ranges([data], 40):
        list(line_blocks(PlainText(store, data), part))
    assert store.read_bytes <= data.value_bytes + 40 * 2**16 + 40


def test_an_object_that_shrank_is_no_short_data_set() -> None:
    store = MemoryObjects(x=b"1,2\n" * 10)
    grown = DataObject("x", "x", 50, "")
    with pytest.raises(DamagedValueError, match="x ends at byte 40 instead of 50"):
        list(line_blocks(PlainText(store, grown), ByteRange(0, 0, 50)))


def test_lines_are_counted_across_requests() -> None:
    store = MemoryObjects(x=b"1,2\n" * 10)
    (data,) = described(store)
    text = PlainText(store, data, request_bytes=7)
    assert [line_number(text, offset) for offset in (0, 4, 36)] == [1, 2, 10]


def test_a_counter_reads_each_byte_once_and_numbers_as_from_the_start() -> None:
    store = MemoryObjects(x=b"1,2\n" * 10, y=b"1\n\n")
    x, y = (PlainText(store, each) for each in described(store))
    counter = LineCounter()
    asked = [(x, 4), (x, 20), (x, 36), (y, 2), (x, 8)]
    assert [counter.number(*each) for each in asked] == [line_number(*each) for each in asked]
    store.read_bytes = 0
    assert LineCounter().number(x, 36) == 10
    assert store.read_bytes == 36


def test_a_counter_does_not_count_too_far() -> None:
    store = MemoryObjects(x=b"1,2\n" * 10)
    (data,) = described(store)
    counter = LineCounter(max_counted_bytes=8)
    assert [counter.number(PlainText(store, data), offset) for offset in (4, 12, 36)] == [
        2,
        4,
        None,
    ]
