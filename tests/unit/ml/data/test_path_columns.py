"""Folders such as year=2020/ are columns, if the job wants them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest

from stepml.job.errors import InvalidJobError, StepMLError
from stepml.job.parse import parse_job
from stepml.ml.data import Manifest, assemble, shard_plan
from tests.support.jobs import Job

N = 40
RNG = np.random.default_rng(8)
FRAME = pd.DataFrame(
    {
        "a": RNG.normal(size=N).round(3),
        "b": RNG.normal(size=N).round(3),
        "y": np.arange(N) % 2,
        "year": np.repeat([2019, 2020, 2021, 2022], N // 4),
        "land": np.tile(["de", "fr, north", "us", 'a"b'], N // 4),
        "flag": np.tile([True, False], N // 2),
        "gap": np.repeat([1.5, 2.5, np.nan, 4.5], N // 4),
        "hole": np.tile(["u", None, "v", None], N // 4),
        "day": np.repeat(["2020-01-01", "2020-02-01"], N // 2),
    }
)
FORMATS = ["csv", "tsv", "parquet"]


def written(frame: pd.DataFrame, data_format: str) -> bytes:
    file = io.BytesIO()
    if data_format == "parquet":
        frame.to_parquet(file, index=False)
    else:
        frame.to_csv(file, index=False, sep="," if data_format == "csv" else "\t")
    return file.getvalue()


def parts(frame: pd.DataFrame, columns: list[str], data_format: str) -> dict[str, bytes]:
    """Return objects in folders of the ``columns``, as Spark writes them."""
    objects = {}
    for values, rows in frame.groupby(columns, dropna=False):
        folders = [
            f"{name}={'__HIVE_DEFAULT_PARTITION__' if pd.isna(value) else quote(str(value))}"
            for name, value in zip(columns, values, strict=True)
        ]
        key = "/".join(["set", *folders, f"part-0.{data_format}"])
        objects[key] = written(rows.drop(columns=columns), data_format)
    return objects


def job(objects: dict[str, bytes], data_format: str, **data: Any) -> Job:
    given = {"uri": "s3://data/set/", "format": data_format, "path_columns": True, "label": "y"}
    found = Job(data=given | data)
    for key, content in objects.items():
        found.data.save(key, content)
    return found


def flat(frame: pd.DataFrame, data_format: str, **data: Any) -> Job:
    return job({"set/x": written(frame, data_format)}, data_format, path_columns=False, **data)


def prepared(begun: Job) -> tuple[Manifest, np.ndarray]:
    """Return the manifest, and all rows of features and labels in an order of their own."""
    begun.partitioned()
    data_set = begun.store.data_set(begun.partition_plan().digest)
    manifest = data_set.manifest.load()
    plan = shard_plan(manifest, 1, 0.1, "dense")
    shards = [
        assemble(data_set.storage, manifest, each, "dense")
        for each in (plan.validation, *plan.shards)
    ]
    rows = np.concatenate([np.column_stack([each.X, each.y]) for each in shards])
    return manifest, rows[np.lexsort(rows.T)]


def require_same(found: Job, expected: Job) -> None:
    (one, rows), (other, same) = prepared(found), prepared(expected)
    assert np.array_equal(rows, same, equal_nan=True)
    assert one.layout.table == other.layout.table
    assert one.levels == other.levels
    assert one.class_names == other.class_names
    assert one.layout.column_names == other.layout.column_names


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(
    "columns", [["year"], ["land"], ["day"], ["year", "land", "day"], ["flag"], ["gap", "hole"]]
)
@pytest.mark.parametrize("ranges", [1, 7])
def test_columns_of_the_path_are_as_if_the_objects_had_them(
    ranges: int, columns: list[str], data_format: str
) -> None:
    frame = FRAME[["a", "b", "y", *columns]]
    missing = {"missing": {"gap": "mean"}} if "gap" in columns else {}
    objects = parts(frame, columns, data_format)
    if "day" in columns and data_format == "parquet":  # whose text would be levels
        frame = frame.assign(day=pd.to_datetime(frame["day"]))
    found = job(objects, data_format, ranges=ranges, **missing)
    require_same(found, flat(frame, data_format, **missing))


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("label", ["year", "land", "flag"])
def test_the_label_may_be_in_the_path(label: str, data_format: str) -> None:
    frame = FRAME[["a", "b", label]]
    objects = parts(frame, [label], data_format)
    model = {"model": {"name": "softmax_regression"}}
    found = job(objects, data_format, label=label)
    expected = flat(frame, data_format, label=label)
    for each in (found, expected):
        each.spec |= model
    require_same(found, expected)


@pytest.mark.parametrize("data_format", FORMATS)
def test_a_column_of_the_path_may_say_which_rows_validate(data_format: str) -> None:
    objects = parts(FRAME[["a", "b", "y", "year"]], ["year"], data_format)
    begun = job(objects, data_format, validation={"column": "year", "after": 2020})
    manifest, rows = prepared(begun)
    assert (manifest.n_validation, rows.shape) == (N // 2, (N, 3))


@pytest.mark.parametrize("data_format", FORMATS)
def test_objects_for_validation_have_the_columns_of_their_own_path(data_format: str) -> None:
    objects = parts(FRAME[["a", "b", "y", "year"]], ["year"], data_format)
    begun = job(objects, data_format, validation={"uri": "s3://data/set/year=2022/"})
    manifest, rows = prepared(begun)
    assert manifest.n_validation == N // 4
    assert sorted(rows[:, 2].tolist()) == FRAME["year"].tolist()


def test_what_pandas_writes_is_read(tmp_path: Path) -> None:
    FRAME[["a", "b", "y", "year"]].to_parquet(tmp_path, partition_cols=["year"])
    files = sorted(tmp_path.rglob("*.parquet"))
    objects = {f"set/{file.relative_to(tmp_path)}": file.read_bytes() for file in files}
    require_same(job(objects, "parquet"), flat(FRAME[["a", "b", "y", "year"]], "parquet"))


def test_the_columns_are_said() -> None:
    begun = job(parts(FRAME, ["year", "land"], "csv"), "csv")
    begun.prepare()
    notes = begun.partition_plan().notes
    assert (
        "columns of the path: 'year' (2019, 2020, 2021, …), 'land' (a\"b, de, fr, north, …)"
        in notes
    )


def test_a_bad_value_in_a_path_is_named() -> None:
    frame = FRAME[["a", "b", "y", "year"]]
    objects = parts(frame, ["year"], "parquet")
    objects["set/year=x/part-0.parquet"] = objects.pop("set/year=2022/part-0.parquet")
    begun = job(objects, "parquet", columns={"types": {"year": "number"}})
    problem = "set/year=x/part-0.parquet: column 'year' of its path is 'x', no number"
    assert problem in refusal(begun)


def refusal(begun: Job) -> str:
    with pytest.raises(StepMLError) as caught:
        begun.partitioned()
    return f"{type(caught.value).__name__}: {caught.value}"


@pytest.mark.parametrize("data_format", FORMATS)
def test_what_is_not_clear_is_refused(data_format: str) -> None:
    objects = parts(FRAME[["a", "b", "y", "year"]], ["year"], data_format)
    for label in (None, -1):
        said = refusal(job(objects, data_format, label=label))
        assert "data.label: expected the name of a column" in said
    other = {"set/x": objects[f"set/year=2020/part-0.{data_format}"]}
    assert "set/x is in no folder year=…" in refusal(job(objects | other, data_format))
    said = refusal(job(other, data_format))
    assert "data.path_columns: expected objects in folders such as year=2020/" in said
    both = parts(FRAME[["a", "b", "y", "year"]], ["year"], data_format)
    both = {key: written(FRAME[["a", "y", "year"]], data_format) for key in both}
    assert "column 'year' is in the object and in its path" in refusal(job(both, data_format))


def test_columns_without_names_are_refused() -> None:
    objects = {f"set/k={n}/x.csv": b"1.5,2.5,0\n2.5,3.5,1\n" for n in range(3)}
    said = refusal(job(objects, "csv", label=2))
    assert "data.path_columns: expected objects with a header" in said


@pytest.mark.parametrize("data", [{"format": "libsvm"}, {"format": "csv", "header": False}])
def test_where_it_has_no_effect_the_field_is_refused(data: dict[str, Any]) -> None:
    given = {"uri": "s3://bucket/set/", "path_columns": True} | data
    with pytest.raises(InvalidJobError, match=r"data.path_columns"):
        parse_job({"data": given, "model": {"name": "logistic_regression"}})
