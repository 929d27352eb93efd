"""parquet: row groups split at any byte, and columns that only range tasks see."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lambdas.partition import partition as partition_range
from lambdas.plan_shards import plan_shards
from stepml.job.errors import (
    BadRowError,
    DamagedValueError,
    EmptyDataError,
    InvalidDataError,
    NotAvailableError,
    StepMLError,
    StorageUnavailableError,
)
from stepml.ml.data import Manifest, SourceFormat, plan_ranges, sniff
from stepml.ml.data.formats.parquet import MAGIC, Parquet, with_columns
from stepml.ml.data.formats.parquet.rows import ParquetRows
from stepml.ml.data.ranges import ByteRange
from stepml.ml.data.table import TableSettings
from tests.support.data_sets import MemoryObjects, described, partition
from tests.support.jobs import Job
from tests.unit.ml.data.test_npz import expected_rows, require_equal, stored_rows

RNG = np.random.default_rng(5)
N = 3000
COLUMNS = {
    "a": RNG.normal(size=N),
    "b": RNG.integers(-50, 50, N),
    "c": RNG.integers(0, 2, N).astype(bool),
    "d": RNG.normal(size=N).astype(np.float32),
    "label": RNG.integers(0, 3, N),
}
X = np.stack([COLUMNS[name] for name in "abcd"], axis=1)
Y = COLUMNS["label"]


def written(columns: Any, row_group_size: int = 250, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, row_group_size=row_group_size, **options)
    return file.getvalue()


def first_rows(n: int) -> dict[str, Any]:
    return {name: column[:n] for name, column in COLUMNS.items()}


def partitioned(
    content: bytes, n_ranges: int = 1, **options: Any
) -> tuple[tuple[np.ndarray, ...], Manifest]:
    store = MemoryObjects(x=content)
    manifest = partition(store, n_ranges, format="parquet", **options)
    return stored_rows(store, manifest), manifest


@pytest.mark.parametrize(
    ("n_ranges", "compression"),
    [(n_ranges, "snappy") for n_ranges in (1, 2, 3, 8, 40)]
    + [(3, compression) for compression in ("none", "gzip", "zstd", "lz4", "brotli")],
)
def test_the_rows_are_those_of_the_table_whatever_the_ranges(
    n_ranges: int, compression: str
) -> None:
    store = MemoryObjects(
        a=written(COLUMNS, compression=compression),
        b=written(first_rows(7), 3),
        c=written(first_rows(0)),
        d=written(COLUMNS, 10**6, use_dictionary=False, data_page_version="2.0"),
    )
    manifest = partition(store, n_ranges, format="parquet", piece_bytes=20_000)
    expected = expected_rows(a=(X, Y), b=(X[:7], Y[:7]), d=(X, Y))
    require_equal(stored_rows(store, manifest), expected)


def test_the_manifest_knows_the_columns() -> None:
    _, manifest = partitioned(written(COLUMNS), 3)
    assert manifest.layout.column_names == tuple(COLUMNS)
    assert (manifest.layout.label_column, manifest.layout.n_columns) == (4, 5)
    assert manifest.n_features == 4


@pytest.mark.parametrize(("label", "column"), [("b", 1), (0, 0), (-2, 3), (None, 4)])
def test_the_label_is_named_or_counted(label: str | int | None, column: int) -> None:
    table = np.stack(list(COLUMNS.values()), axis=1)
    rows, manifest = partitioned(written(COLUMNS), 2, label=label)
    assert manifest.layout.label_column == column
    require_equal(rows, expected_rows(x=(np.delete(table, column, axis=1), table[:, column])))


def test_without_a_label_all_columns_are_features() -> None:
    rows, manifest = partitioned(written(COLUMNS), 2, has_label=False)
    assert manifest.n_features == 5
    require_equal(rows, expected_rows(x=(np.column_stack([X, Y]), np.zeros(N))))


@pytest.mark.parametrize(
    ("kind", "label"),
    [(pa.int32(), 523450001), (pa.int64(), 2**24 + 1), (pa.float64(), 2**24 + 1)],
)
def test_labels_are_what_float32_makes_of_them(kind: Any, label: int) -> None:
    table = {"label": pa.array([3, label], kind), "a": pa.array([1, 2], pa.float32())}
    rows, _ = partitioned(written(table), label="label")
    require_equal(rows, expected_rows(x=([[1], [2]], [3, label])))


@pytest.mark.parametrize("has_label", [True, False])
def test_an_object_without_columns_is_refused_as_such(has_label: bool) -> None:
    with pytest.raises(InvalidDataError, match=r"^s3 object x has no columns$"):
        partitioned(written({}), has_label=has_label)


def test_labels_of_every_type_may_be_missing_only_where_rows_are_skipped() -> None:
    for kind in (pa.int64(), pa.int8(), pa.float32(), pa.float64(), pa.bool_()):
        table = {"a": [1.0, 2.0], "label": pa.array([1, None], pa.int8()).cast(kind)}
        with pytest.raises(BadRowError, match=r"row 1 \(from 0\): the label is (nan, a )?missing"):
            partitioned(written(table))
        rows, manifest = partitioned(written(table), on_bad_row="skip", missing="keep")
        assert manifest.skipped_rows == 1
        expected = 0 if kind == pa.bool_() else 1  # the code of the only class
        require_equal(rows, expected_rows(x=([[1]], [expected])))
        assert manifest.class_names == (("True",) if kind == pa.bool_() else ())


def test_a_row_group_belongs_to_the_range_in_which_it_begins() -> None:
    store = MemoryObjects(x=written(first_rows(30), 10))
    objects = described(store)
    metadata = pq.read_metadata(io.BytesIO(store.objects["x"]))
    starts = [
        metadata.row_group(group).column(0).dictionary_page_offset
        for group in range(metadata.num_row_groups)
    ]
    layout = with_columns(store, objects, sniff(store, objects, SourceFormat(format="parquet")))
    rows = ParquetRows(store, objects, layout)
    for cut in {1, objects[0].value_bytes - 1, *starts, *(start + 1 for start in starts)}:
        parts = ByteRange(0, 0, cut), ByteRange(0, cut, objects[0].value_bytes)
        found = [[int(n) for block in rows.read(part) for n in block.offsets] for part in parts]
        n_before = 10 * sum(start < cut for start in starts)
        assert found == [list(range(n_before)), list(range(n_before, 30))]


@pytest.mark.parametrize(
    "kind", [pa.int8(), pa.uint16(), pa.int64(), pa.float16(), pa.float32(), pa.bool_()]
)
def test_nulls_are_kept_where_the_job_says_so(kind: Any) -> None:
    values = pa.array([1, None, 0], pa.int8()).cast(kind)
    columns = {"a": [0.5, 1.5, 2.5], "b": values, "y": [0, 1, 0]}
    rows, _ = partitioned(written(columns), missing="keep")
    require_equal(rows, expected_rows(x=([[0.5, 1], [1.5, np.nan], [2.5, 0]], [0, 1, 0])))


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"a": [1, None, 3], "y": [0, 1, 0]}, r"column 1 \('a'\) is nan, a missing value"),
        ({"a": [1.0, np.nan, 3], "y": [0, 1, 0]}, r"column 1 \('a'\) is nan, a missing value"),
        ({"a": [1.0, np.inf, 3], "y": [0, 1, 0]}, r"column 1 \('a'\) is inf, not a finite number"),
        ({"a": [1.0, 2.0, 3], "y": [0, None, 0]}, "the label is nan, a missing value"),
    ],
)
def test_a_bad_row_is_named_or_skipped(columns: Any, problem: str) -> None:
    with pytest.raises(BadRowError, match=rf"^s3 object x, row 1 \(from 0\): {problem}$"):
        partitioned(written(columns, 2))
    rows, manifest = partitioned(written(columns, 2), on_bad_row="skip")
    assert (manifest.n_rows, manifest.skipped_rows) == (2, 1)
    everything = expected_rows(x=([[1]] * 3, [0] * 3))[0]
    assert set(rows[0]) < set(everything)  # the others keep their ids


def test_columns_behind_the_label_are_named_right() -> None:
    columns = {"a": [1.0, 2.0], "y": [0, 1], "b": [1.0, None]}
    with pytest.raises(BadRowError, match=r"x, row 1 \(from 0\): column 3 \('b'\) is nan"):
        partitioned(written(columns), label="y")


def test_numbers_too_large_for_float32_are_bad() -> None:
    with pytest.raises(
        BadRowError, match=r"x, row 1 \(from 0\): column 1 \('a'\) is 1e\+39, too large"
    ):
        partitioned(written({"a": [1.0, 1e39], "y": [0, 1]}))


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"a": [[1], [2]], "y": [0, 1]}, r"column 1 \('a'\) is of type list<.*data.columns.drop"),
        ({"a": [{"b": 1}, {"b": 2}], "y": [0, 1]}, r"column 1 \('a'\) is of type struct"),
        ({"a": [b"u", b"v"], "y": [0, 1]}, r"column 1 \('a'\) is of type binary"),
        ({"a": [0, 1], "y": [[1], [2]]}, r"the label, column 2 \('y'\), is of type list"),
        ({"a": [1, 2], "__index_level_0__": [0, 1]}, "__index_level_0__' is the index of a pandas"),
        ({"y": [0, 1]}, "has a label and no features"),
    ],
)
def test_columns_that_are_no_values_are_refused_by_name(columns: Any, problem: str) -> None:
    with pytest.raises(InvalidDataError, match=f"s3 object x.*{problem}"):
        partitioned(written(columns))


def test_two_columns_of_one_name_are_refused() -> None:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array([1])] * 2, ["a", "a"]), file)
    with pytest.raises(InvalidDataError, match="s3 object x: two columns are named 'a'"):
        partitioned(file.getvalue())


@pytest.mark.parametrize(
    ("label", "problem"),
    [("z", "data.label is 'z', which is none of the columns of s3 object x: a, b"), (5, "is 5")],
)
def test_a_label_that_is_no_column_is_refused(label: str | int, problem: str) -> None:
    with pytest.raises(InvalidDataError, match=problem):
        partitioned(written(COLUMNS), label=label)


def test_the_width_that_the_job_states_is_compared() -> None:
    with pytest.raises(InvalidDataError, match=r"data.n_features is 3, but s3 object x has 4"):
        partitioned(written(COLUMNS), n_features=3)


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ({"a": [1], "x": [2], "y": [0]}, "it lacks b and only it has x"),
        ({"a": [1], "b": [2]}, "it lacks y"),
        ({"a": [1], "b": [2], "y": [0], "z": [0]}, "only it has z"),
    ],
)
@pytest.mark.parametrize("n_ranges", [1, 2, 20])
def test_objects_with_other_columns_are_refused_by_name(
    other: Any, problem: str, n_ranges: int
) -> None:
    store = MemoryObjects(a=written({"a": [1], "b": [2], "y": [0]}), b=written(other))
    with pytest.raises(
        InvalidDataError, match=f"b: its columns are not those of the first object: {problem}"
    ):
        partition(store, n_ranges, format="parquet")


def test_what_is_no_parquet_is_refused_by_prepare() -> None:
    store = MemoryObjects(x=b"PK\x03\x04 and more")
    with pytest.raises(InvalidDataError, match="x is not parquet: it starts with 50 4b 03 04"):
        sniff(store, described(store), SourceFormat(format="parquet"))


@pytest.mark.parametrize("n_bytes", [4, 8, 11, 5000, -1])
def test_a_truncated_object_is_refused_by_name(n_bytes: int) -> None:
    with pytest.raises(InvalidDataError, match=r"^s3 object x: "):
        partitioned(written(COLUMNS)[:n_bytes])


@pytest.mark.parametrize("place", range(50, 3000, 350))
def test_a_damaged_page_is_refused_by_name(place: int) -> None:
    content = bytearray(written(COLUMNS, write_page_checksum=True))
    content[place : place + 20] = b"\xff" * 20
    with pytest.raises(InvalidDataError, match=r"^s3 object x: "):
        partitioned(bytes(content))


def test_an_object_without_rows_is_an_empty_data_set() -> None:
    with pytest.raises(EmptyDataError, match="no rows"):
        partitioned(written(first_rows(0)))


def test_rows_come_in_blocks_and_prepare_reads_the_magic_only() -> None:
    store = MemoryObjects(x=written(COLUMNS, 2000))
    objects = described(store)
    layout = sniff(store, objects, SourceFormat(format="parquet"))
    assert store.read_bytes == len(MAGIC)
    layout = with_columns(store, objects, layout)
    rows = ParquetRows(store, objects, layout, block_bytes=2000)
    (part,) = plan_ranges(objects)[0]
    sizes = [each.X.nbytes for each in rows.read(part)]
    assert max(sizes) <= 2000
    # The footer is read for the columns, and again with the rows.
    assert store.read_bytes < objects[0].value_bytes + 2 * 65536 + 100


def test_the_sample_of_a_table_without_statistics_is_small() -> None:
    values = np.random.default_rng(3).normal(size=(4, 400_000))
    file = io.BytesIO()
    table = pa.table({f"x{place}": column for place, column in enumerate(values)})
    pq.write_table(table, file, write_statistics=False, use_dictionary=False)
    store = MemoryObjects(x=file.getvalue())
    objects = described(store)
    options = SourceFormat(format="parquet", has_label=False)
    layout = with_columns(store, objects, sniff(store, objects, options))
    store.read_bytes = 0

    assert Parquet().fine_features(store, objects, layout) == ()

    assert store.read_bytes < objects[0].value_bytes / 2


class _Failing(MemoryObjects):
    def load_range(self, key: str, start: int, stop: int) -> bytes:
        if self.read_bytes > 70_000:
            raise StorageUnavailableError("slow down")
        return super().load_range(key, start, stop)


def test_what_the_store_raises_keeps_its_name() -> None:
    store = _Failing(x=written(COLUMNS))
    with pytest.raises(StorageUnavailableError, match="slow down"):
        partition(store, format="parquet")
    store = MemoryObjects(x=written(COLUMNS))
    objects = described(store)
    layout = sniff(store, objects, SourceFormat(format="parquet"))
    store.objects["x"] = store.objects["x"][:-10]
    with pytest.raises(DamagedValueError, match=r"x ends at byte .* it was changed"):
        with_columns(store, objects, layout)


def test_without_pyarrow_the_format_is_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    content = written(COLUMNS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(NotAvailableError, match=r"needs pyarrow; install it with: .*pip install"):
        partitioned(content)


def test_nothing_imports_pyarrow_before_it_is_needed() -> None:
    code = (
        "import sys; import lambdas.partition, lambdas.prepare, stepml.ml.data;"
        "sys.exit('pyarrow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_job_has_its_parquet_ranges_done_by_the_function_that_reads_them() -> None:
    job = Job(
        data={"uri": "s3://data/rows.parquet", "format": "parquet", "ranges": 3},
        model={"name": "softmax_regression"},
    )
    job.data.save("rows.parquet", written(COLUMNS))
    state = job.prepare()
    assert (state.data.ranges, state.functions.partition) == ([0, 1, 2], "partition-parquet")
    plan = job.partition_plan()
    for number in state.data.ranges:
        partition_range(number, "job", plan, job.data, job.storage)
    manifest = plan_shards("job", job.storage)
    assert (manifest.n_rows, manifest.layout.column_names) == (N, tuple(COLUMNS))
    again = job.prepare()
    assert again.data.ranges == []  # already done


def test_data_of_another_format_are_partitioned_by_the_function_without_pyarrow() -> None:
    state = Job().prepare()
    assert (state.data.ranges, state.functions.partition) == ([0], "partition")


def test_a_footer_at_which_pyarrow_would_end_the_process_is_refused() -> None:
    content = written({"a": [1.0, 2.0, 3.0], "y": [0, 1, 0]})
    first = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    refusal = "s3 object x: the footer is damaged: pyarrow cannot read its columns"
    for place in range(first, len(content) - 8):
        try:
            partitioned(content[:place] + b"\0" + content[place + 1 :])
        except StepMLError as error:
            if str(error) == refusal:
                return
    raise AssertionError("no damage was refused")


def parquet_of(**columns: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


@pytest.mark.parametrize("n_ranges", [1, 3])
@pytest.mark.parametrize(
    ("values", "kind"),
    [(pa.array(["u", "v"] * 20), "category"), (pa.array([1.5, 2.5] * 20), "number"),
     (pa.array([True, False] * 20), "boolean")],
)  # fmt: skip
def test_a_column_without_values_has_the_type_of_the_next_object(
    values: Any, kind: str, n_ranges: int
) -> None:
    a, y = np.arange(40.0), np.arange(40) % 2
    filled, empty = parquet_of(a=a, c=values, y=y), parquet_of(a=a, c=pa.nulls(40), y=y)
    options = {"format": "parquet", "label": "y", "missing": "keep"}
    found = partition(MemoryObjects(a=empty, b=filled), n_ranges, **options)
    assert [each.kind for each in found.layout.raw_columns] == ["number", kind]
    same = partition(MemoryObjects(a=filled, b=empty), n_ranges, **options)
    assert (found.n_rows, found.layout, found.levels) == (80, same.layout, same.levels)


@pytest.mark.parametrize("first", ["number", "time", "label"])
def test_a_column_of_another_type_in_another_object_is_named(first: str) -> None:
    a, y = np.arange(40.0), np.arange(40) % 2
    words = pa.array(["u", "v"] * 20)
    kinds = {"number": np.arange(40), "time": np.arange(40).astype("M8[s]"), "label": y}
    column = "y" if first == "label" else "c"
    columns = {"a": a, "c": a, "y": y}
    one = parquet_of(**columns | {column: pa.array(kinds[first])})
    other = parquet_of(**columns | {column: words})
    kind = "number" if first == "label" else first
    problem = f"b: column '{column}' is of type string, but in the first object it is a {kind}"
    with pytest.raises(InvalidDataError, match=problem):
        partition(MemoryObjects(a=one, b=other), format="parquet", label="y")


def test_text_that_the_job_calls_numbers_is_read_as_numbers() -> None:
    y = np.arange(40) % 2
    content = parquet_of(c=pa.array(["1.5", None] * 20), y=y)
    settings = TableSettings(types=(("c", "number"),))
    options = {"format": "parquet", "label": "y", "missing": "keep", "settings": settings}
    found = partition(MemoryObjects(a=content), **options)
    assert [each.kind for each in found.layout.raw_columns] == ["number"]
    assert found.missing_values == 20


@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("us"), pa.timestamp("ns")])
def test_dates_that_the_job_calls_categories_have_levels(kind: Any) -> None:
    days = pa.array([18_262, 18_263, None] * 4, pa.int32()).cast(pa.date32()).cast(kind)
    settings = TableSettings(types=(("d", "category"),))
    content = parquet_of(d=days, y=np.arange(12) % 2)
    options = {"format": "parquet", "label": "y", "settings": settings}
    manifest = partition(MemoryObjects(a=content), **options)
    hour = "" if kind == pa.date32() else " 00:00:00"
    assert manifest.levels == (("", f"2020-01-01{hour}", f"2020-01-02{hour}"),)


def test_text_of_numbers_has_their_levels() -> None:
    y, settings = np.arange(4) % 2, TableSettings(types=(("c", "category"),))
    numbers = parquet_of(c=pa.array([1, 2] * 2), y=y)
    texts = parquet_of(c=pa.array(["01", " 2.0"] * 2), y=y)
    options = {"format": "parquet", "label": "y", "settings": settings}
    manifest = partition(MemoryObjects(a=numbers, b=texts), **options)
    assert manifest.levels == (("1", "2"),)


def test_categories_without_rows_are_no_labels() -> None:
    unused = [f"unused {each}" for each in range(1500)]
    y = pa.DictionaryArray.from_arrays([1500, 1501] * 20, [*unused, "no", "yes"])
    content = parquet_of(a=np.arange(40.0), y=y)
    manifest = partition(MemoryObjects(a=content), format="parquet", label="y", has_classes=True)
    assert manifest.class_names == ("no", "yes")
