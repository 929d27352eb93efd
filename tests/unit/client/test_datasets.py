"""Data sets are downloaded once and checked; if they are unavailable, the error says so."""

from __future__ import annotations

import csv
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stepml import datasets
from stepml.records.errors import DatasetUnavailableError

ARCHIVE = "scikit_multiflow-0.4.1-cp37-cp37m-manylinux1_x86_64.whl"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STEPML_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "datasets"


@pytest.fixture
def _no_index(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Point pip at an index that does not answer."""
    for variable in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{bound.getsockname()[1]}/simple")
        yield


def test_digits_have_the_rows_and_columns_that_are_promised() -> None:
    path = datasets.get(datasets.DIGITS)

    with path.open(encoding="ascii", newline="") as file:
        header, *rows = csv.reader(file)
    assert header[-1] == datasets.DIGITS.label
    assert len(rows) == datasets.DIGITS.rows
    assert {len(row) for row in rows} == {datasets.DIGITS.features + 1}
    assert {row[-1] for row in rows} == set("0123456789")


def test_a_cached_file_is_not_made_again() -> None:
    path = datasets.get(datasets.DIGITS)
    before = path.stat()

    again = datasets.get(datasets.DIGITS).stat()

    assert (again.st_ino, again.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("damage", [b"", b"x", b"pixel"])
def test_a_damaged_file_is_made_again(damage: bytes) -> None:
    path = datasets.get(datasets.DIGITS)
    whole = path.read_bytes()
    path.write_bytes(damage + whole[len(damage) :] if damage != b"pixel" else whole[:100])

    assert datasets.get(datasets.DIGITS).read_bytes() == whole


def test_nothing_but_the_data_set_stays_in_the_cache(cache: Path) -> None:
    datasets.get(datasets.DIGITS)

    assert [path.name for path in cache.iterdir()] == ["digits.csv"]


@pytest.mark.usefixtures("_no_index")
def test_an_index_out_of_reach_is_told_with_the_way_around(cache: Path) -> None:
    with pytest.raises(
        DatasetUnavailableError,
        match=r"^covertype: the package index could not be reached \(.+\); "
        r"`stepml data get digits` needs no network$",
    ):
        datasets.get(datasets.COVERTYPE)

    assert list(cache.iterdir()) == []


def test_another_archive_than_the_expected_one_is_refused(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    metadata = "Metadata-Version: 2.1\nName: scikit-multiflow\nVersion: 0.4.1\n"
    wheel = "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp37-cp37m-manylinux1_x86_64\n"
    with zipfile.ZipFile(tmp_path / ARCHIVE, "w") as archive:
        archive.writestr("skmultiflow/data/datasets/covtype.csv", "1,2\n")
        archive.writestr("scikit_multiflow-0.4.1.dist-info/METADATA", metadata)
        archive.writestr("scikit_multiflow-0.4.1.dist-info/WHEEL", wheel)
        archive.writestr("scikit_multiflow-0.4.1.dist-info/RECORD", "")

    with pytest.raises(DatasetUnavailableError, match="is not the expected archive: sha256"):
        datasets.get(datasets.COVERTYPE)

    assert list(cache.iterdir()) == []
