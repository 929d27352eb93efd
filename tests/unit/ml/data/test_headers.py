"""Numbers in a first line are names, a row, or unclear, depending on the lines below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from stepml.ml.data.formats.text.headers import Header, find_header

RNG = np.random.default_rng(3)
REALS = RNG.normal(size=(30, 12))
DIGITS = RNG.integers(0, 17, (30, 65))
LABELS = RNG.integers(0, 2, (30, 1))


def table(names: Iterable[Any] | None, *blocks: np.ndarray) -> list[list[str]]:
    """Return the cells as pandas and Python write them: reals with a point, integers without."""
    columns = [column for block in blocks for column in block.T.tolist()]
    body = [list(map(str, row)) for row in zip(*columns, strict=True)]
    return body if names is None else [list(map(str, names)), *body]


def found(lines: Sequence[Sequence[str]], label: str | int | None = None) -> Header:
    return find_header(lines[0], lines[1:], label)


@pytest.mark.parametrize(
    "lines",
    [
        table(range(3), REALS[:, :2], LABELS),  # pandas: a frame without names
        table(range(3), REALS[:, :3]),
        table(range(2), REALS[:, :2]),
        table((0.0, 1.0, 2.0), REALS[:, :3]),
        table(range(65), DIGITS),  # also where all rows are integers, if there are many
        table([*range(65)], DIGITS.astype(float)),
        table([0, 1, "y"], REALS[:, :2], LABELS),
        table([0, "y"], REALS[:, :1], LABELS),
        table([0, 1, 2, "y"], DIGITS[:, :3], LABELS),
        table([*np.arange(400, 404, 0.5), "y"], REALS[:, :8], LABELS),  # wavelengths
        table(["", 0, 1, 2], np.arange(30)[:, None], REALS[:, :3]),  # and an index
    ],
)
def test_numbers_that_can_only_be_names_are_names(lines: list[list[str]]) -> None:
    assert found(lines) is Header.BY_EVIDENCE


@pytest.mark.parametrize(
    "lines",
    [
        table(range(2), REALS[:, :1], LABELS),
        table(range(4), DIGITS[:, :4]),
        table(range(10), np.arange(40).reshape(4, 10)),
        table(None, np.arange(40).reshape(4, 10)),
        table((1, 2, 3), REALS[:, :3]),
        table((2019, 2020), REALS[:, :2]),
        table((2010, 2015, 2020, 2025), REALS[:, :4]),
        table((2019, 2020, 2021), DIGITS[:, :3]),
        table(np.arange(400, 404, 0.5), REALS[:, :8]),
        table((400.1, 401.7, 402.0, 405.5, 407, 408, 409, 410), DIGITS[:, :8]),
        table((1, 0), REALS[:, :2]),
        table((3, 7, 5), REALS[:, :3]),
        table((0, 1, 2, 0, 1), REALS[:, :5]),  # two frames side by side
        table((0,), DIGITS[:, :1]),
        [["0", "1"], ["1", "0"], ["0", "1"]],
    ],
)
def test_numbers_that_may_be_names_are_unclear(lines: list[list[str]]) -> None:
    assert found(lines) is Header.UNCLEAR


@pytest.mark.parametrize(
    "lines",
    [
        table(None, REALS, LABELS),
        table(None, DIGITS),
        table(None, LABELS, DIGITS[:, :3]),
        [["1", "2", "3"], ["4", "5", "6"]],
        [["0", "0", "0", "1"], *table(None, REALS[:, :4])],  # a start at rest
        [["1.5e3", "-2", "+3"], ["4", "5", "6"]],
        [["1", "2", "abc"], ["1", "2", "3"]],
        [["NA", "?", "null"], ["1", "2", "3"]],
        [["0", "1", "2"]],  # a header alone would leave no row
        [["nan", "inf", "1"], ["0", "1", "2"]],
    ],
)
def test_other_numbers_are_a_row(lines: list[list[str]]) -> None:
    assert found(lines) is Header.NO


@pytest.mark.parametrize("label", ["1", None])
def test_the_labels_name_makes_a_header(label: str | None) -> None:
    lines = table(range(2), REALS[:, :1], LABELS)
    assert (found(lines, label) is Header.YES) is (label is not None)


@pytest.mark.parametrize("n", [3, 5, 12])
@pytest.mark.parametrize("first", [0, 1, 2015, -4, 400.5])
@pytest.mark.parametrize("step", [1, -1, 10, 0.5])
@pytest.mark.parametrize("decimals", [16, 1])
def test_numbered_columns_of_reals_are_never_a_row(
    first: float, step: float, n: int, decimals: int
) -> None:
    names = [first + step * number for number in range(n)]
    lines = table(names, REALS[:, :n].round(decimals))
    # Three wavelengths above three columns of reals might be a row.
    assert found(lines) is not Header.NO or (
        n == 3 and not all(map(float.is_integer, map(float, names)))
    )


def test_a_table_of_reals_without_a_header_has_none() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        m, n = rng.integers(3, 20), rng.integers(2, 12)
        for body in (rng.normal(size=(m, n)), rng.integers(0, 100, (m, n)), rng.random((m, n)) * 9):
            assert found(table(None, body.round(1))) is Header.NO
