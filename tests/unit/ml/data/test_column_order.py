"""Objects whose columns come in another order are read by their names."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from stepml.job.errors import BadRowError, InvalidDataError
from stepml.ml.data.manifest import Manifest
from tests.support.data_sets import MemoryObjects, all_shards, partition

NAMES = ["a", "b", "y", "v"]
RNG = np.random.default_rng(5)
FORMATS = ["csv", "tsv", "parquet"]


def table(kind: str, n_rows: int = 60) -> list[list[Any]]:
    """Return columns: of numbers, a category if the ``kind`` is mixed, labels, and 0 or 1."""
    numbers = RNG.normal(size=n_rows).round(3).tolist()
    other = RNG.integers(3, size=n_rows)
    words = [("x, y", "z", "")[each] for each in other] if kind == "mixed" else other.tolist()
    return [numbers, words, RNG.integers(2, size=n_rows).tolist(), [0, 1] * (n_rows // 2)]


def written(columns: Sequence[Sequence[Any]], order: Sequence[int], data_format: str) -> bytes:
    named = {NAMES[place]: columns[place] for place in order}
    if data_format == "parquet":
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        file = pa.BufferOutputStream()
        pq.write_table(pa.table(named), file)
        return bytes(file.getvalue())
    text = io.StringIO()
    writer = csv.writer(text, delimiter="," if data_format == "csv" else "\t")
    writer.writerow(named)
    writer.writerows(zip(*named.values(), strict=True))
    return text.getvalue().encode()


def read(
    objects: dict[str, bytes], n_ranges: int = 1, **options: Any
) -> tuple[Manifest, list[bytes]]:
    store = MemoryObjects(**objects)
    # Row ids depend on the rows' places, which differ in the objects that are compared.
    manifest = partition(store, n_ranges, **options)
    shards = all_shards(store, manifest, 1)
    rows = np.concatenate([np.column_stack([each.X, each.y]) for each in shards])
    return manifest, rows[np.lexsort(rows.T)]


@pytest.mark.parametrize("kind", ["numbers", "mixed"])
@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("n_ranges", [1, 5])
def test_columns_are_found_by_their_names(kind: str, data_format: str, n_ranges: int) -> None:
    parts = [table(kind), table(kind)]
    options = {"format": data_format, "label": "y"}

    def objects(order: Sequence[int]) -> dict[str, bytes]:
        return {
            "1": written(parts[0], range(4), data_format),
            "2": written(parts[1], order, data_format),
        }

    expected, rows = read(objects([0, 1, 2, 3]), n_ranges, **options)
    for order in ([3, 2, 1, 0], [1, 2, 3, 0], [0, 2, 1, 3]):
        found, same = read(objects(order), n_ranges, **options)
        assert np.array_equal(same, rows)
        assert found.labels == expected.labels
        assert found.levels == expected.levels
        assert found.layout.column_names == tuple(NAMES)


@pytest.mark.parametrize("data_format", FORMATS)
def test_the_column_that_says_which_rows_validate_is_found_as_well(data_format: str) -> None:
    parts = [table("numbers"), table("numbers")]
    objects = {
        "1": written(parts[0], range(4), data_format),
        "2": written(parts[1], [3, 0, 1, 2], data_format),
    }
    manifest, _ = read(objects, format=data_format, label="y", validates="v")
    assert manifest.n_validation == 60


@pytest.mark.parametrize("kind", ["numbers", "mixed"])
@pytest.mark.parametrize("on_bad_row", ["fail", "skip"])
def test_a_bad_row_is_named_by_its_own_place(kind: str, on_bad_row: str) -> None:
    parts = [table(kind), table(kind)]
    parts[1][0][7] = "oops"
    objects = {
        "1": written(parts[0], range(4), "csv"),
        "2": written(parts[1], [3, 1, 2, 0], "csv"),
    }
    options = {"format": "csv", "label": "y", "on_bad_row": on_bad_row}
    problem = r"s3 object 2, line 9: column 4 \('a'\) is 'oops', not a number"
    if on_bad_row == "fail":
        with pytest.raises(BadRowError, match=problem):
            read(objects, **options)
    else:
        manifest, _ = read(objects, **options)
        assert manifest.n_rows == 119
        assert problem.replace("\\", "") in manifest.skipped_samples[0]


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("n_ranges", [1, 5])
@pytest.mark.parametrize(
    ("order", "problem"), [([2, 1, 0], "it lacks v"), ([0, 1, 2, 3], "only it has v")]
)
def test_columns_that_differ_are_named(
    order: list[int], problem: str, n_ranges: int, data_format: str
) -> None:
    columns = table("numbers")
    first = range(4) if len(order) == 3 else range(3)
    objects = {
        "1": written(columns, first, data_format),
        "2": written(columns, order, data_format),
    }
    with pytest.raises(InvalidDataError, match=f"s3 object 2: its .* first object: {problem}$"):
        read(objects, n_ranges, format=data_format, label="y")


def test_without_a_header_columns_have_no_names() -> None:
    text = b"1.5,2,0\n2.5,1,1\n" * 20
    manifest, _ = read({"1": text, "2": text}, format="csv")
    assert manifest.n_rows == 80


def test_decimal_commas_are_read_in_any_order() -> None:
    first, second = b"a;b;y\n1,5;2;0\n2,5;3;1\n", b"y;b;a\n1;5;7,5\n0;6;8,25\n"
    options = {"format": "csv", "label": "y", "delimiter": ";", "decimal": ","}
    _, rows = read({"1": first * 1, "2": second}, **options)
    assert rows.tolist() == [[1.5, 2, 0], [8.25, 6, 0], [2.5, 3, 1], [7.5, 5, 1]]
