"""Models of tables with words and times: frames, files and parts of the model mean the same."""

from __future__ import annotations

import csv
import io
import json
import warnings
from datetime import time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from stepml.cli.app import app
from stepml.trained_model import TrainedModel
from tests.support.trainings import job_on, model_of, run, save_model

N_ROWS = 300
COLUMNS = {"drop": ["id"], "types": {"size": "category"}}
ENCODE = {"grade": "ordinal", "tag": "hash"}


def people() -> pd.DataFrame:
    """Return rows of every kind of column, some of them without values."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "id": [f"p{number}" for number in range(N_ROWS)],
            "age": rng.normal(40, 10, N_ROWS).round(2),
            "color": rng.choice(["red", "green", "dark, blue"], N_ROWS),
            "size": rng.choice([1, 2, 40], N_ROWS),
            "ok": rng.random(N_ROWS) < 0.5,
            "since": pd.Timestamp("2021-03-04 05:06:07")
            + pd.to_timedelta(rng.integers(0, 10**7, N_ROWS), unit="s"),
            "grade": rng.choice(["a", "b", "c"], N_ROWS),
            "tag": [f"t{number}" for number in rng.integers(0, 50, N_ROWS)],
        }
    )
    frame["label"] = np.where(
        frame.age + 10 * frame.ok + rng.normal(0, 5, N_ROWS) > 45, "yes", "no"
    )
    for name in ("age", "color", "since"):
        frame.loc[rng.random(N_ROWS) < 0.1, name] = None
    return frame


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    return _trained()


def _trained(**data: Any) -> TrainedModel:
    job = _job(**data)
    return model_of(job)


def _job(**data: Any) -> Any:
    settings = {"label": "label", "columns": COLUMNS, "encode": ENCODE, "hash_width": 16} | data
    content = people().to_csv(index=False).encode()
    job = job_on(content, data=settings, model={"name": "logistic_regression"})
    run(job)
    return job


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(_job(), tmp_path_factory.mktemp("model"))


def features() -> pd.DataFrame:
    return people().drop(columns=["id", "label"])


LABELS = people().label


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [dict(zip(frame, row, strict=True)) for row in frame.itertuples(index=False)]


HELD: dict[str, Any] = {
    "other order": lambda frame: frame[frame.columns[::-1]],
    "categories": lambda frame: frame.astype({"color": "category", "grade": "category"}),
    "nullable": lambda frame: frame.convert_dtypes(),
    "arrow dtypes": lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    "objects": lambda frame: frame.astype(object),
    "zones": lambda frame: frame.assign(
        since=frame.since.dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    ),
    "times as text": lambda frame: frame.assign(since=frame.since.astype("string")),
    "text": lambda frame: frame.astype("string"),
    "polars": polars.from_pandas,
    "polars, categories": lambda frame: polars.from_pandas(frame).with_columns(
        polars.col("color").cast(polars.Categorical)
    ),
    "arrow": pa.Table.from_pandas,
    "arrow, dictionaries": lambda frame: pa.Table.from_pandas(
        frame.astype({"color": "category", "tag": "category"})
    ),
    "mapping": lambda frame: {name: frame[name] for name in frame},
    "lists": lambda frame: frame.astype(object).to_dict("list"),
    "rows": _rows,
    "array of objects": lambda frame: frame.to_numpy(object),
    "list of lists": lambda frame: frame.to_numpy(object).tolist(),
}


@pytest.mark.parametrize("held", HELD)
def test_every_way_to_hold_rows_gives_the_same(held: str, model: TrainedModel) -> None:
    frame = features()
    expected = model.decision_function(frame)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = model.decision_function(HELD[held](frame))

    assert np.array_equal(found, expected)
    assert len(set(expected.tolist())) > N_ROWS / 2


@pytest.mark.parametrize("variant", ["csv", "gz", "quoted", "other order", "semicolons"])
def test_files_and_frames_have_the_same_predictions(
    variant: str, folder: Path, model: TrainedModel, tmp_path: Path
) -> None:
    frame = people()
    path, out = tmp_path / f"rows.csv{'.gz' * (variant == 'gz')}", tmp_path / "out.csv"
    options: dict[str, Any] = {
        "quoted": {"quoting": csv.QUOTE_ALL},
        "semicolons": {"sep": ";"},
    }.get(variant, {})
    shown = frame[frame.columns[::-1]] if variant == "other order" else frame
    shown.to_csv(path, index=False, **options)

    result = CliRunner().invoke(
        app, ["predict", str(folder), str(path), "--keep", "id", "--out", str(out), "--json"]
    )

    assert result.exit_code == 0, result.output
    table = pd.read_csv(out)
    assert table["id"].tolist() == frame["id"].tolist()
    assert table["prediction"].tolist() == model.predict(features()).tolist()
    chances = table[["probability_no", "probability_yes"]].to_numpy()
    assert np.allclose(chances, model.predict_proba(features()), atol=1e-6)
    document = json.loads(result.stdout)
    assert document["metrics"]["accuracy"] == pytest.approx(model.score(features(), frame["label"]))
    assert document["metrics"]["accuracy"] > 0.7
    assert not [each for each in document["assumed"] if "left out" in each]


VARIANTS: dict[str, Any] = {
    "plain": lambda frame: frame,
    "other order": lambda frame: frame[frame.columns[::-1]],
    "categories": lambda frame: frame.astype({"color": "category", "tag": "category"}),
    "text": lambda frame: frame.astype({"age": str, "ok": str, "since": str}),
    "index": lambda frame: frame.set_index("id"),
    "lists beside": lambda frame: frame.assign(other=[[1, 2]] * len(frame)),
    "numbers as decimals": lambda frame: frame.assign(
        size=frame["size"].astype(pd.ArrowDtype(pa.decimal128(25, 1)))
    ),
    "zones": lambda frame: frame.assign(since=frame.since.dt.tz_localize("UTC")),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_parquet_and_frames_have_the_same_predictions(
    variant: str, folder: Path, model: TrainedModel, tmp_path: Path
) -> None:
    frame = people()
    path, out = tmp_path / "rows.parquet", tmp_path / "out.parquet"
    VARIANTS[variant](frame).to_parquet(path, index=variant == "index")
    keep = ["--keep", "since", "--keep", "id"]

    result = CliRunner().invoke(app, ["predict", str(folder), str(path), *keep, "--out", str(out)])

    assert result.exit_code == 0, result.output
    table = pd.read_parquet(out)
    assert table["since"].dtype.kind == ("O" if variant == "text" else "M")
    assert table["id"].tolist() == frame["id"].tolist()
    assert table["prediction"].tolist() == model.predict(features()).tolist()
    assert np.allclose(table["probability_yes"], model.predict_proba(features())[:, 1], atol=1e-6)
    assert f"accuracy {model.score(features(), frame['label']):.4f}" in result.stderr


def test_text_in_parquet_that_is_no_time_is_a_bad_row(folder: Path, tmp_path: Path) -> None:
    frame = people().astype({"since": str})
    frame.loc[7, "since"] = "in spring"
    frame.to_parquet(tmp_path / "rows.parquet", index=False)

    result = CliRunner().invoke(app, ["predict", str(folder), str(tmp_path / "rows.parquet")])

    assert result.exit_code == 2
    assert "row 7 (from 0): column 6 ('since') is 'in spring', expected a date" in result.stderr


def test_columns_of_the_path_are_read_and_kept(
    folder: Path, model: TrainedModel, tmp_path: Path
) -> None:
    frame = people().dropna(subset="color")
    frame.to_parquet(tmp_path / "rows", partition_cols=["color", "grade"], index=False)
    arguments = ["predict", str(folder), str(tmp_path / "rows"), "--keep", "id", "--keep", "color"]
    out = tmp_path / "out.parquet"

    refused = CliRunner().invoke(app, arguments)
    result = CliRunner().invoke(app, [*arguments, "--set", "path_columns=true", "--out", str(out)])

    assert refused.exit_code == 2
    assert "missing: color, grade; the path has columns: give --set path_columns" in refused.stderr
    assert result.exit_code == 0, result.output
    table = pd.read_parquet(out).set_index("id").loc[frame["id"]]
    assert table["color"].tolist() == frame["color"].tolist()
    expected = model.predict(frame.drop(columns=["id", "label"]))
    assert table["prediction"].tolist() == expected.tolist()


def test_a_model_of_parquet_predicts_the_same_as_one_of_text(model: TrainedModel) -> None:
    content = people().to_parquet(index=False)
    settings = {"label": "label", "columns": COLUMNS, "encode": ENCODE, "hash_width": 16}
    job = job_on(content, "rows.parquet", data=settings, model={"name": "logistic_regression"})
    run(job)

    other = model_of(job)

    assert list(other.feature_names_out_) == list(model.feature_names_out_)
    found = other.predict_proba(features())
    assert np.allclose(found, model.predict_proba(features()), atol=0.02)


def test_the_label_and_the_dropped_columns_may_be_absent(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    features().head(5).to_csv(path, index=False)

    result = CliRunner().invoke(app, ["predict", str(folder), str(path)])

    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 6
    assert "there is no label" in result.stderr


def test_the_label_and_the_dropped_columns_may_be_there(model: TrainedModel) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = model.predict(people())

    assert np.array_equal(found, model.predict(features()))


def test_the_parts_of_a_model_have_names(model: TrainedModel) -> None:
    names = list(features())
    out = list(model.feature_names_out_)

    assert list(model.feature_names_in_) == names
    assert model.n_features_in_ == len(names)
    assert [name for name in out if name.startswith("color=")] == [
        "color=(missing)", "color=dark, blue", "color=green", "color=red"
    ]  # fmt: skip
    assert [name for name in out if name.startswith("size=")] == ["size=1", "size=2", "size=40"]
    assert {"age", "ok", "since", "grade", "tag#0", "tag#15"} <= set(out)
    assert model.coef_.shape == (1, len(out)) == (1, model.n_features_out_)
    assert [each["name"] for each in model.pipeline_["columns"]] == names
    json.dumps(model.pipeline_)


def test_coefficients_apply_to_the_features_with_their_names(model: TrainedModel) -> None:
    frame = features().dropna()
    names = list(model.feature_names_out_)
    values = pd.DataFrame(0.0, index=frame.index, columns=names)
    values["age"], values["ok"] = frame["age"], frame["ok"]
    values["since"] = frame["since"].astype("datetime64[us]").astype("int64") / 1e6
    values["grade"] = frame["grade"].map({"a": 0, "b": 1, "c": 2})
    for name in ("color", "size"):
        for level in frame[name].unique():
            values[f"{name}={level}"] = frame[name] == level
    hashed = [name for name in names if name.startswith("tag#")]
    values[hashed] = model.prepare(frame)[:, [names.index(name) for name in hashed]]

    found = values.to_numpy(np.float64) @ model.coef_[0] + model.intercept_[0]

    assert np.allclose(found, model.decision_function(frame), atol=1e-4)


def test_prepared_rows_have_no_missing_values(model: TrainedModel) -> None:
    prepared = model.prepare(features())

    assert prepared.shape == (N_ROWS, model.n_features_out_)
    assert not np.isnan(prepared).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"age": "old"}, "expected a number in column 'age', got 'old' in row 0"),
        ({"ok": "perhaps"}, "expected true or false in column 'ok', got 'perhaps' in row 0"),
        ({"since": "yesterday"}, "expected a date or time in column 'since', got 'yesterday' in"),
        ({"age": 1e300}, r"row 0 that is infinite or too large for float32: feature 0 \('age'\)"),
        ({"color": [1]}, "column 'color' has values that are no levels: unhashable"),
        ({"age": np.datetime64("2020-01-01")}, "expected numbers, got column 'age' of type"),
    ],
)
def test_values_of_another_kind_are_refused(
    change: dict[str, Any], message: str, model: TrainedModel
) -> None:
    rows = {name: [value] for name, value in _rows(features().head(1))[0].items()}
    name, value = next(iter(change.items()))
    rows[name] = np.array([value]) if isinstance(value, np.datetime64) else [value]

    with pytest.raises(ValueError, match=message):
        model.predict(rows)


def test_a_table_that_lacks_a_column_is_refused(model: TrainedModel) -> None:
    with pytest.raises(ValueError, match="by name; missing: age"):
        model.predict(features().drop(columns="age"))
    with pytest.raises(ValueError, match=r"expected a table with the columns age, .*float64"):
        model.predict(np.zeros((2, 7)))
    with pytest.raises(ValueError, match="the model has 7 features, X has 3"):
        model.predict(np.zeros((2, 3), object))


def test_levels_that_training_did_not_have_are_ignored_or_refused(model: TrainedModel) -> None:
    frame = features().head(3)
    frame.loc[1, "color"] = "pink"
    levels = [place for place, name in enumerate(model.feature_names_out_) if "color" in name]

    prepared = model.prepare(frame)

    assert not prepared[1, levels].any()
    strict = _trained(unknown_levels="fail")
    with pytest.raises(ValueError, match="a level in row 1, column 'color', that training"):
        strict.predict(frame)


def test_a_column_without_any_known_level_is_warned_of(model: TrainedModel) -> None:
    frame = features().assign(color="RED")

    with pytest.warns(UserWarning, match="X has no level that training had in column 'color'"):
        model.predict(frame)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(frame.head(5))


def test_unknown_levels_of_files_are_counted_and_named(folder: Path, tmp_path: Path) -> None:
    frame = features()
    frame.loc[[1, 2, 200], "color"] = ["pink", "blue", "pink"]
    path, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    frame.to_csv(path, index=False)

    result = CliRunner().invoke(app, ["predict", str(folder), str(path), "--out", str(out)])

    assert result.exit_code == 0, result.output
    said = " ".join(result.stderr.split())
    assert "'color' has levels that training did not have, in 3 rows: 'pink', 'blue';" in said
    strict = save_model(_job(unknown_levels="fail"), tmp_path)
    result = CliRunner().invoke(app, ["predict", str(strict), str(path), "--out", str(out)])
    assert result.exit_code == 2
    assert "BadRowError: " in result.stderr
    assert "column 'color' has levels that training did not have, and" in result.stderr


def test_tables_without_names_are_predicted_by_place(tmp_path: Path) -> None:
    frame = people().drop(columns="id")[["label", "age", "color", "ok", "since"]]
    job = job_on(
        frame.to_csv(index=False, header=False).encode(),
        data={"label": 0},
        model={"name": "logistic_regression"},
    )
    run(job)
    model, place = model_of(job), save_model(job, tmp_path)
    rows = frame.drop(columns="label")
    expected = model.predict(rows.to_numpy(object))
    named, bare = tmp_path / "named.csv", tmp_path / "bare.csv"
    frame.to_csv(tmp_path / "rows.csv", index=False, header=False)
    rows.to_csv(bare, index=False, header=False)
    frame.to_csv(named, index=False)

    with pytest.raises(AttributeError, match="feature_names_in_: the data of this model had no"):
        model.feature_names_in_  # noqa: B018
    assert np.array_equal(model.predict(rows.set_axis(range(4), axis=1)), expected)
    with pytest.warns(UserWarning, match="the data of the model had no names of features"):
        assert np.array_equal(model.predict(rows), expected)
    for path in (tmp_path / "rows.csv", bare, named):
        result = CliRunner().invoke(app, ["predict", str(place), str(path), "--keep", "1"])
        assert result.exit_code == 0, result.output
        table = pd.read_csv(io.StringIO(result.stdout))
        assert table["prediction"].tolist() == expected.tolist()
        assert ("accuracy" in result.stderr) == (path != bare)


def test_a_model_of_plain_numbers_ignores_the_columns_that_its_job_dropped(tmp_path: Path) -> None:
    frame = people().dropna()[["age", "size", "label"]].assign(extra=1.5, other="x")
    job = job_on(
        frame.to_csv(index=False).encode(),
        data={"label": "label", "columns": {"drop": ["e*"], "use": ["age", "size", "e*"]}},
        model={"name": "logistic_regression"},
    )
    run(job)
    model = model_of(job)
    frame.to_csv(tmp_path / "rows.csv", index=False)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = model.predict(frame)
    result = CliRunner().invoke(
        app, ["predict", str(save_model(job, tmp_path)), str(tmp_path / "rows.csv")]
    )

    assert np.array_equal(found, model.predict(frame[["age", "size"]].to_numpy()))
    assert list(model.feature_names_out_) == list(model.feature_names_in_) == ["age", "size"]
    assert result.exit_code == 0, result.output
    assert pd.read_csv(io.StringIO(result.stdout))["prediction"].tolist() == found.tolist()


@pytest.mark.parametrize("missing", [None, {"name": "most_frequent"}, {"name": "zero"}])
def test_columns_of_many_levels_are_predicted_as_their_coefficients_say(missing: Any) -> None:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"name": [f"n{each}" for each in rng.integers(0, 200, N_ROWS)]})
    frame["x"] = rng.normal(3, 1, N_ROWS).round(3)
    frame["y"] = frame["x"] > 3
    frame.loc[::7, "name"], frame.loc[::11, "x"] = None, None
    job = job_on(
        frame.to_csv(index=False).encode(),
        data={"label": "y", "missing": missing},
        model={"name": "logistic_regression"},
    )
    run(job)
    model = model_of(job)
    slopes = dict(zip(model.feature_names_out_, model.coef_[0], strict=True))
    common = frame["name"].mode()[0] if missing == {"name": "most_frequent"} else "(missing)"
    levels = "name=" + frame["name"].fillna(common)

    found = model.decision_function(frame)

    expected = levels.map(slopes).fillna(0) + slopes["x"] * frame["x"].fillna(frame["x"].mean())
    assert np.allclose(found, expected + model.intercept_[0], atol=1e-4)
    assert model.n_features_out_ > 100


def test_words_that_are_missing_only_among_numbers_are_levels() -> None:
    frame = people()
    frame["tag"] = np.where(np.arange(N_ROWS) % 3 == 0, "none", frame.tag)  # to the letter: "None"
    job = job_on(
        frame.to_csv(index=False).encode(),
        data={"label": "label", "columns": COLUMNS, "encode": ENCODE, "hash_width": 16},
        model={"name": "logistic_regression"},
    )
    run(job)
    hashed = model_of(job).encode(features().assign(tag=["none", None] * (N_ROWS // 2)))
    tags = hashed[:, [name.startswith("tag#") for name in model_of(job).feature_names_out_]]
    assert not np.array_equal(tags[0], tags[1])


def test_booleans_that_are_levels_are_spelt_as_in_the_data() -> None:
    frame = features().assign(ok=lambda rows: np.where(rows.ok, "true", "false"), label=LABELS)
    job = job_on(
        frame.to_csv(index=False).encode(),
        data={"label": "label", "columns": {"types": {"ok": "category"}}},
        model={"name": "logistic_regression"},
    )
    run(job)
    model, rows = model_of(job), frame.drop(columns="label")
    booleans = rows.assign(ok=rows.ok == "true")
    assert np.array_equal(model.decision_function(booleans), model.decision_function(rows))


def test_times_and_spans_of_any_unit_are_seconds() -> None:
    days = [f"{year}-03-04" for year in (1200, 1990, 2020, 3000)]
    frame = pd.DataFrame({"day": np.resize(days, N_ROWS), "n": np.arange(N_ROWS), "label": LABELS})
    job = job_on(
        frame.to_csv(index=False).encode(),
        data={"label": "label"},
        model={"name": "logistic_regression"},
    )
    run(job)
    model = model_of(job)
    expected = model.encode({"day": days, "n": [5.0] * 4})
    dates, spans = np.array(days, "datetime64[s]"), np.array([5 * 10**9] * 4, "timedelta64[ns]")
    for rows in (
        pd.DataFrame({"day": dates, "n": spans}),
        {"day": dates, "n": spans},
        [{"day": day, "n": span} for day, span in zip(dates, spans, strict=True)],
        [{"day": str(day), "n": timedelta(seconds=5)} for day in dates],
        [{"day": str(day), "n": time(second=5)} for day in dates],
    ):
        assert np.array_equal(model.encode(rows), expected)
    with pytest.raises(ValueError, match="a number in column 'n'"):
        model.encode([{"day": "2020-01-01", "n": np.datetime64("2020-01-01", "ns")}])


@pytest.mark.parametrize("columns", [["age", "size"], ["age", "size", "color"]])
@pytest.mark.parametrize("words", [["-999", "unknown"], ["-999.0", "unknown"]])
def test_words_for_missing_values_are_missing_in_frames_as_in_files(
    columns: list[str], words: list[str], tmp_path: Path
) -> None:
    frame = people()[[*columns, "label"]].astype({"size": float})
    frame.loc[::7, "age"] = -999
    frame.loc[::5, "color" if "color" in columns else "size"] = (
        "unknown" if "color" in columns else -999
    )
    data = {"label": "label", "missing_words": words, "standardise": True}
    job = job_on(
        frame.to_csv(index=False).encode(), data=data, model={"name": "logistic_regression"}
    )
    run(job)
    model, path = model_of(job), tmp_path / "rows.csv"
    frame.to_csv(path, index=False)

    result = CliRunner().invoke(app, ["predict", str(save_model(job, tmp_path)), str(path)])

    assert result.exit_code == 0, result.output
    expected = pd.read_csv(io.StringIO(result.stdout))["probability_yes"]
    as_text = frame.astype(object).where(frame.notna(), None)
    for held in (frame, as_text, frame.to_dict("records"), polars.from_pandas(frame)):
        found = model.predict_proba(held)[:, 1]
        assert np.allclose(found, expected, atol=1e-6)
    gaps = frame.replace({-999: np.nan, "unknown": None})
    assert np.array_equal(model.predict_proba(gaps), model.predict_proba(frame))


@pytest.mark.parametrize("encode", ["hash", "one_hot"])
def test_a_word_for_missing_values_is_a_level_in_parquet(encode: str, tmp_path: Path) -> None:
    frame = people()[["age", "tag", "label"]]
    frame.loc[::3, "tag"] = "NA"
    data = {"label": "label", "encode": encode} | ({"hash_width": 16} if encode == "hash" else {})
    path = tmp_path / "rows.parquet"
    frame.to_parquet(path, index=False)
    job = job_on(path.read_bytes(), path.name, data=data, model={"name": "logistic_regression"})
    run(job)
    folder = save_model(job, tmp_path)

    result = CliRunner().invoke(app, ["predict", str(folder), str(path)])

    assert result.exit_code == 0, result.output
    expected = pd.read_csv(io.StringIO(result.stdout))["probability_yes"]
    found = model_of(job).predict_proba(frame)[:, 1]
    assert np.allclose(found, expected, atol=1e-6)
    missing = model_of(job).predict_proba(frame.assign(tag=None))[:, 1]
    assert not np.allclose(found[::3], missing[::3], atol=1e-3)
