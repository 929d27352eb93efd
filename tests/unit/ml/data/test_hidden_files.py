"""Files beside the data that hold no rows are left out, as Hadoop and Spark do, and it is said."""

from __future__ import annotations

import pytest

from stepml.job.data import Data
from stepml.job.errors import DataNotFoundError
from stepml.ml.data import plan_data
from stepml.ml.data.hidden_files import is_hidden
from storage.testing.memory import MemoryStorage
from tests.support.jobs import Job, csv_rows

HIDDEN = (
    "_SUCCESS",
    "_committed_1",
    "_metadata",
    "_metadata.json",
    ".part-0.csv.crc",
    ".DS_Store",
    "__MACOSX/._rows.csv",
    "_delta_log/0.json",
    "_temporary/0/part-0.csv",
    "year=2020/.part-0.csv.crc",
    "README.md",
    "readme.txt",
    "LICENSE",
    "Thumbs.db",
)
SHOWN = ("part-0.csv", "year=2020/part-0.csv", "_year=2020/part-0.csv", "a_b.csv", "readme.csv")


@pytest.mark.parametrize("name", HIDDEN)
def test_markers_checksums_and_explanations_are_hidden(name: str) -> None:
    assert is_hidden(name)


@pytest.mark.parametrize("name", SHOWN)
def test_other_names_are_not_hidden(name: str) -> None:
    assert not is_hidden(name)


def test_hidden_files_are_left_out_and_named() -> None:
    job = Job(data={"uri": "s3://data/_old/", "format": "csv"})
    job.data = MemoryStorage()
    job.data.save("_old/part-0.csv", csv_rows(50))
    for name in HIDDEN:
        job.data.save(f"_old/{name}", b"no,row\n")
    job.partitioned()
    plan = job.partition_plan()
    assert [each.name for each in plan.objects] == ["part-0.csv"]
    assert plan.notes == [
        "left out, as their names are those of hidden or explaining files: 14 "
        "(.DS_Store, .part-0.csv.crc, LICENSE, …)"
    ]


def test_one_object_may_have_any_name() -> None:
    storage = MemoryStorage()
    storage.save("set/_rows.csv", csv_rows(50))
    data = Data(uri="s3://data/set/_rows.csv", format="csv")
    assert [each.name for each in plan_data(storage, "set/_rows.csv", data).objects] == [
        "_rows.csv"
    ]
    with pytest.raises(DataNotFoundError, match=r"no data lie at s3://data/set; .*_rows.csv"):
        plan_data(storage, "set", data)
