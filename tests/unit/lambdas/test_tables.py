"""Tables become the same features however they are exported, cut and read."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepml.job.errors import BadRowError, InvalidDataError
from tests.support.prepared_rows import LABEL, partitioned, prepared_frame, raw_frame, shards_of
from tests.support.real_tables import as_csv, as_parquet

RANGES = (2, 7, 40)
RAW = {"standardise": False, "label": "y"}  # features as they are before scaling


def mixed(n_rows: int = 60, seed: int = 0) -> pd.DataFrame:
    """Return rows with a column of each kind, and missing values in most of them."""
    rng = np.random.default_rng(seed)
    times = pd.Timestamp("2024-02-28 23:30") + pd.to_timedelta(37 * np.arange(n_rows), "min")
    frame = pd.DataFrame(
        {
            "n": np.arange(n_rows),
            "real": rng.normal(size=n_rows).round(3),
            "count": pd.array(rng.integers(0, 1000, n_rows), dtype="Int64"),
            "flag": pd.array(rng.random(n_rows) < 0.4, dtype="boolean"),
            "city": rng.choice(["Paris", "Köln", 'O"Hare, IL', "Rio de Janeiro"], n_rows),
            "when": times,
            "day": times.date,
            "y": rng.normal(size=n_rows).round(3),
        }
    )
    for name in ("real", "count", "flag", "city", "when"):
        frame.loc[rng.random(n_rows) < 0.1, name] = None
    frame["day"] = pd.to_datetime(frame["day"]).dt.strftime("%Y-%m-%d")
    return frame


def expected(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the features of `mixed` rows by pandas, missing values filled in."""
    found = pd.DataFrame({"n": frame["n"].astype(float)})
    for name in ("real", "count", "flag"):
        found[name] = frame[name].astype("Float64").astype(float)
    cities = pd.get_dummies(frame["city"].fillna(""), dtype=float)
    for city in sorted(cities.columns):
        found[f"city={city or '(missing)'}"] = cities[city]
    for name in ("when", "day"):
        times = pd.to_datetime(frame[name])
        seconds = times.dt.as_unit("s").astype("int64").astype(float)
        found[name] = seconds.where(times.notna())
    return found.fillna(found.mean())


def assert_features(found: pd.DataFrame, right: pd.DataFrame) -> None:
    assert list(found.columns) == [*right.columns, LABEL]
    for name in right:
        values = right[name].to_numpy(np.float32)
        most = 3e-7 * np.abs(values).max(initial=0.3)  # means are those of float32 values
        np.testing.assert_allclose(found[name], values, rtol=0, atol=most, err_msg=name)


EXPORTS: dict[str, tuple[str, Callable[[pd.DataFrame], bytes], dict[str, Any]]] = {
    "plain": ("rows.csv", as_csv, {}),
    "quoted": ("rows.csv", lambda frame: frame.to_csv(index=False, quoting=1).encode(), {}),
    "not numeric": ("rows.csv", lambda frame: frame.to_csv(index=False, quoting=2).encode(), {}),
    "crlf": (
        "rows.csv",
        lambda frame: frame.to_csv(index=False, lineterminator="\r\n").encode(),
        {},
    ),
    "cr": ("rows.csv", lambda frame: frame.to_csv(index=False, lineterminator="\r").encode(), {}),
    "bom": ("rows.csv", lambda frame: frame.to_csv(index=False).encode("utf-8-sig"), {}),
    "utf-16": ("rows.csv", lambda frame: frame.to_csv(index=False).encode("utf-16"), {}),
    "latin-1": ("rows.csv", lambda frame: frame.to_csv(index=False).encode("cp1252"), {}),
    "gzip": ("rows.csv.gz", lambda frame: gzip.compress(as_csv(frame)), {}),
    "semicolons": ("rows.csv", lambda frame: frame.to_csv(index=False, sep=";").encode(), {}),
    "europe": (
        "rows.csv",
        lambda frame: frame.to_csv(index=False, sep=";", decimal=",").encode(),
        {"decimal": ","},
    ),
    "pipes": ("rows.csv", lambda frame: frame.to_csv(index=False, sep="|").encode(), {}),
    "tabs": ("rows.tsv", lambda frame: frame.to_csv(index=False, sep="\t").encode(), {}),
    "NA": ("rows.csv", lambda frame: frame.to_csv(index=False, na_rep="NA").encode(), {}),
    "null": ("rows.csv", lambda frame: frame.to_csv(index=False, na_rep="null").encode(), {}),
    # Text stays text there, so the days have a type of their own.
    "parquet": (
        "rows.parquet",
        lambda frame: as_parquet(frame.assign(day=pd.to_datetime(frame["day"]))),
        {},
    ),
}


@pytest.mark.parametrize("export", EXPORTS)
def test_every_export_has_the_features_of_pandas(export: str) -> None:
    frame = mixed()
    key, write, data = EXPORTS[export]
    job = partitioned(write(frame), key, **RAW, **data)
    found = prepared_frame(job)
    assert_features(found, expected(frame))
    np.testing.assert_array_equal(found[LABEL], frame["y"].astype(np.float32))


@pytest.mark.parametrize("export", ["plain", "quoted", "parquet"])
@pytest.mark.parametrize("matrix", ["dense", "sparse"])
def test_ranges_change_no_bit(export: str, matrix: str) -> None:
    key, write, _ = EXPORTS[export]
    content = write(mixed(200))
    one, *others = (
        shards_of(partitioned(content, key, workers=3, ranges=ranges, matrix=matrix, **RAW))
        for ranges in (1, *RANGES)
    )
    assert one
    for other in others:
        assert other == one


def test_compression_changes_no_bit() -> None:
    content = as_csv(mixed())
    plain = partitioned(content, **RAW)
    packed = partitioned(gzip.compress(content), **RAW)  # under the same name
    frames = [raw_frame(each, by=None) for each in (plain, packed)]
    pd.testing.assert_frame_equal(*frames)  # in the order of the shards


NAMES = st.sampled_from(["a", "b c", "d,e", 'q"q', "é"])
NUMBERS = st.none() | st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
WORDS = st.none() | st.sampled_from(["x", "Y y", "p,q", 'say "so"', "it's", "ß", "-", "0x"])


@settings(max_examples=25)
@given(
    numbers=st.lists(NUMBERS, min_size=8, max_size=20),
    words=st.lists(WORDS, min_size=8, max_size=20),
    name=NAMES,
    ranges=st.integers(1, 40),
)
def test_numbers_and_words_are_those_of_pandas_in_any_ranges(
    numbers: list[Any], words: list[Any], name: str, ranges: int
) -> None:
    size = min(len(numbers), len(words))
    frame = pd.DataFrame(
        {
            "n": np.arange(size),
            "x": pd.Series(numbers[:size], dtype=float),
            name: pd.Series(words[:size], dtype=object),
            "y": np.arange(size) % 3,
        }
    )
    frame.loc[0, "x"], frame.loc[0, name] = 0.5, "x"  # so that their types are seen
    right = pd.DataFrame({"n": frame["n"].astype(float), "x": frame["x"].fillna(frame["x"].mean())})
    dummies = pd.get_dummies(frame[name].fillna(""), dtype=float)
    for level in sorted(dummies.columns):
        right[f"{name}={level or '(missing)'}"] = dummies[level]
    job = partitioned(as_csv(frame), ranges=ranges, **RAW)
    assert_features(prepared_frame(job), right)


def test_quotes_behind_the_first_megabyte_are_read_if_the_job_says_so() -> None:
    text = "n,y\n" + "".join(f"{row},{row % 3}\n" for row in range(150_000)) + '"-5",0\n'
    with pytest.raises(BadRowError, match=r"line 150002: .* quoted fields are not supported"):
        partitioned(text.encode(), **RAW)
    found = raw_frame(partitioned(text.encode(), quoted_newlines=False, ranges=2, **RAW))
    assert found["n"].iloc[0] == -5
    assert len(found) == 150_001


def test_a_column_that_is_empty_in_a_hundred_rows_has_the_type_of_the_others() -> None:
    frame = mixed(400)
    for name in ("real", "flag", "city", "when", "day"):
        frame.loc[:250, name] = None
    assert_features(prepared_frame(partitioned(as_csv(frame), **RAW)), expected(frame))


BAD_QUOTES = {
    "escaped": ('1,"say \\"so\\", he",0', "4 columns where 3 are expected"),
    "blanks before": ('1, "q, r",0', "4 columns where 3 are expected"),
}


@pytest.mark.parametrize("name", BAD_QUOTES)
def test_quotes_that_do_not_match_are_named_or_left_out(name: str) -> None:
    line, problem = BAD_QUOTES[name]
    text = "n,s,y\n" + "".join(f'{row},"a, b",{row % 3}\n' for row in range(2, 30)) + line + "\n"
    fields = {"quoted_newlines": False, **RAW}
    with pytest.raises(BadRowError, match=f"line 30: {problem}; quotes enclose whole fields"):
        partitioned(text.encode(), **fields)
    found = raw_frame(partitioned(text.encode(), on_bad_row="skip", **fields))
    assert found["n"].tolist() == [*range(2, 30)]


@pytest.mark.parametrize("columns", [{"use": ["?*"]}, {"use": ["n", "city"]}])
def test_an_index_without_a_name_is_refused_unless_it_is_left_out(columns: dict[str, Any]) -> None:
    content = mixed()[["n", "city", "y"]].to_csv().encode()
    with pytest.raises(InvalidDataError, match=r'column 1 has no name.* \{"use": \["\?\*"\]\}'):
        partitioned(content, **RAW)
    found = raw_frame(partitioned(content, columns=columns, **RAW))
    assert [each.split("=")[0] for each in found][:2] == ["n", "city"]
    again = pd.read_csv(io.BytesIO(content)).to_csv(index=False).encode()
    with pytest.raises(InvalidDataError, match=r'\{"drop": \["Unnamed: 0"\]\}'):
        partitioned(again, **RAW)
    dropped = raw_frame(partitioned(again, columns={"drop": ["Unnamed: 0"]}, **RAW))
    pd.testing.assert_frame_equal(dropped, found)
