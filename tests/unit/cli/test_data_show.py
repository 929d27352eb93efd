"""``stepml data show``: what files and objects would be taken for."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from stepml.cli.app import app
from tests.support.moto_stack import BUCKET, MotoStack

IRIS = (
    "sepal,petal,species\n5.1,1.4,setosa\n4.9,1.4,setosa\n7,4.7,versicolor\n"
    "6.4,4.5,versicolor\n6.3,6,virginica\n"
)


@pytest.fixture(autouse=True)
def _own_directories(stack: MotoStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.endpoint_url)
    monkeypatch.setenv("STEPML_STATE_DIR", str(tmp_path / "state"))


def show(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["data", "show", *arguments])
    assert result.exit_code == code, result.output
    return result


def show_json(*arguments: str) -> Any:
    return json.loads(show(*arguments, "--json").stdout)


def written(name: str, content: str) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(content)
    return name


def test_a_file_is_shown_without_any_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    lines = show(written("iris.csv", IRIS)).stdout.splitlines()

    assert lines[0] == "iris.csv: csv, header, 5 rows, 3 columns, 102 B"
    assert lines[1] == "label: 'species', 3 values: setosa, versicolor, virginica"
    assert "    1  sepal   number          –  4.9 to 7" in lines
    assert [line.split() for line in lines[-5:-3]] == [
        ["setosa", "5.1", "1.4"],
        ["setosa", "4.9", "1.4"],
    ]
    assert all(len(line) <= 80 for line in lines)


def test_weights_of_rows_have_a_line_of_their_own() -> None:
    file = written("iris.csv", IRIS)
    lines = show(file, "--set", "weight=petal").stdout.splitlines()
    assert lines[2] == "weight: 'petal', 1.4 to 6"
    assert not any("petal" in line for line in lines[3:])
    assert show_json(file, "--set", "weight=1")["weight"] == "petal"
    assert show_json(file)["weight"] is None


def test_in_json_everything_has_a_name() -> None:
    found = show_json(written("iris.csv", IRIS))

    assert (found["format"], found["header"], found["rows"], found["label"]) == (
        "csv",
        True,
        5,
        "species",
    )
    assert found["classes"] == ["setosa", "versicolor", "virginica"]
    assert [each["name"] for each in found["columns"]] == ["sepal", "petal"]
    assert found["first_rows"][0] == ["setosa", "5.1", "1.4"]


def test_a_file_and_its_copy_in_the_bucket_are_shown_alike(stack: MotoStack) -> None:
    folder = f"set-{uuid.uuid4().hex[:8]}"
    written(f"{folder}/a.csv", IRIS), written(f"{folder}/b.csv", IRIS), written(f"{folder}/_x", "")
    for name in ("a.csv", "b.csv", "_x"):
        stack.put(f"data/{folder}/{name}", Path(folder, name).read_bytes())

    here, there = show_json(folder), show_json(f"s3://{BUCKET}/data/{folder}/")
    assert (here.pop("place"), there.pop("place")) == (folder, f"s3://{BUCKET}/data/{folder}/")
    assert here == there
    assert (here["objects"], here["rows"]) == (2, 10)
    assert show_json(f"data/{folder}/") | {"place": ""} == here | {"place": ""}


def test_the_label_may_be_another_column_or_none() -> None:
    written("rows.csv", "y,a,b\n0,1.5,3\n1,2.5,4\n0,3.5,5\n")
    assert show_json("rows.csv", "--label", "y")["label"] == "y"
    assert show_json("rows.csv", "--label", "0")["label"] == "y"
    assert len(show_json("rows.csv", "--no-label")["columns"]) == 3
    assert "one of them" in show("rows.csv", "--label", "y", "--no-label", code=2).stderr


def test_many_columns_stay_within_a_line() -> None:
    names = [f"a rather long name of column {number}" for number in range(60)]
    row = ",".join(map(str, range(60)))
    lines = show(written("wide.csv", f"{','.join(names)}\n{row}.5\n{row}\n")).stdout.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert any(line.strip() == "…  19 more columns" for line in lines)
    assert any(line.startswith("  (and ") for line in lines)


def test_rows_are_estimated_if_not_all_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepml.ml.data.trial.try_partition.__defaults__", (0, 2**14))
    rows = "".join(f"{number % 977:03d},{number % 2}\n" for number in range(20_000))
    found = show_json(written("rows.csv", f"a,y\n{rows}"))
    assert not found["rows_are_exact"]
    assert found["rows"] == pytest.approx(20_000, rel=0.01)
    assert ", about " in show("rows.csv").stdout


def test_bad_rows_are_shown_and_left_out() -> None:
    content = "a,b,y\n" + "1.5,2,0\n2.5,3,1\n" * 50 + "oops,4,1\n"
    result = show(written("rows.csv", content))
    assert "bad row: file rows.csv, line 102: column 1 ('a') is 'oops'" in result.stdout
    assert show_json("rows.csv")["bad_rows"] == 1


def test_formats_without_columns_are_summarised() -> None:
    X = np.arange(20.0).reshape(5, 4)
    np.savez("rows.npz", X=X, y=np.array([0, 1, 0, 1, 0]))
    written("rows.svm", "1 1:0.5 3:2\n0 2:1\n")
    assert "npz, 5 rows, 4 features" in show("rows.npz").stdout
    lines = show("rows.svm").stdout.splitlines()
    assert "libsvm, 2 rows, 3 features" in lines[0]
    assert lines[3].split() == ["1", "0:0.5", "2:2"]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("./none.csv", "'./none.csv' cannot be read: No such file"),
        ("none.csv", "there is no file 'none.csv' here, and nothing lies at s3://"),
        ("notes.txt", "--format: expected csv, tsv, parquet"),
        ("empty.csv", "file empty.csv has 0 bytes"),
    ],
)
def test_what_cannot_be_shown_says_why(place: str, message: str) -> None:
    written("notes.txt", "a,b\n1,2\n"), written("empty.csv", "")
    assert message in show(place, code=2).stderr


TABLE = "id,city,age,ok,day,y\n" + "".join(
    f"u{n},{('Rome', 'Oslo', '')[n % 3]},{n % 50 + 0.5},{n % 2 == 0},2020-01-{n % 28 + 1:02},no\n"
    for n in range(60)
)


def test_the_columns_of_a_table_have_types_and_levels() -> None:
    found = {each["name"]: each for each in show_json(written("t.csv", TABLE))["columns"]}
    assert {name: each["kind"] for name, each in found.items()} == {
        "id": "category",
        "city": "category",
        "age": "number",
        "ok": "boolean",
        "day": "time",
    }
    assert (found["city"]["levels"], found["city"]["missing"]) == (["Oslo", "Rome"], 20)
    text = show("t.csv").stdout
    assert " 2 levels: Oslo, Rome" in text
    assert " false to true" in text
    assert " 2020-01-01 to 2020-01-28" in text


@pytest.mark.parametrize("setting", ['columns={"drop": ["id"]}', 'data.columns={"drop":["i*"]}'])
def test_any_field_of_the_data_may_be_set(setting: str) -> None:
    assert show_json(written("t.csv", TABLE), "--set", setting)["left_out"] == ["id"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("encode", "--set: expected FIELD=VALUE, got 'encode'"),
        ("encod=hash", "--set: data.encod: unknown field (did you mean 'data.encode'?)"),
        ("encode=hashed", "--set: encode: expected one of: hash"),
        ('columns={"drop": ["idd"]}', "got 'idd' (did you mean 'id'?)"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, message: str) -> None:
    assert message in show(written("t.csv", TABLE), "--set", setting, code=2).stderr


def test_a_decimal_comma_is_named_and_then_read() -> None:
    rows = "".join(f"{n % 7},{n % 10};{n % 2}\n" for n in range(60))
    assert "data.decimal" in show(written("t.csv", f"a;y\n{rows}"), code=2).stderr
    assert show_json("t.csv", "--set", "decimal=,")["columns"][0]["high"] == 6.8


@pytest.mark.parametrize(
    ("labels", "cure"),
    [
        (("1,5", "2,25"), "if they are numbers, set data.decimal to ','"),
        (("1,500", "2,000"), "if they are numbers, set data.thousands to ',', or data.decimal"),
        (("5 %", "7 %"), "if they are numbers, write them without units"),
        (("a", "b"), ""),
        (("2020-01-01", "2020-01-02"), ""),
    ],
)
def test_labels_that_look_like_numbers_are_noted(labels: Sequence[str], cure: str) -> None:
    rows = "".join(f"{n};{labels[n % 2]}\n" for n in (3, 5, 2, 4))
    shown = " ".join(show(written("t.csv", f"a;y\n{rows}")).stdout.split())
    assert ("are taken for texts" in shown) == bool(cure)
    assert cure in shown
