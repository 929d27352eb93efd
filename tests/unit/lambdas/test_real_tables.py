"""Real tables, as pandas exports them, are learnt as well as by a pipeline of scikit-learn."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from stepml.cli.app import app
from tests.support.pipelines import prepared
from tests.support.real_tables import EXPORTS, TABLES, as_csv, real_frame, with_times
from tests.support.table_trials import Trial, try_table
from tests.support.trainings import save_model

# benchmarks/bench_tables.py compares all rows of all tables.
FEW = {"adult": 4000, "diamonds": 4000, "hr": 3000, "football": 1500, "patients": 2000}
pytestmark = pytest.mark.filterwarnings("ignore:X has no level that training had")

NAMES = (
    *("titanic", "adult", "housing", "patients", "german", "hr", "apartments", "football", "mpg"),
    *("diamonds", "midwest", "penguins", "penguins_raw", "weather"),
)
SMALL = ("titanic", "penguins", "apartments")


def few_rows(name: str) -> pd.DataFrame:
    frame = real_frame(name)
    return frame.sample(FEW[name], random_state=0) if name in FEW else frame


@cache
def learnt(name: str, data_format: str = "csv") -> Trial:
    return try_table(TABLES[name], few_rows(name), EXPORTS[data_format], f"rows.{data_format}")


@pytest.mark.parametrize("name", NAMES)
def test_a_table_is_learnt_as_well_as_by_scikit_learn(name: str) -> None:
    trial = learnt(name)
    assert trial.is_as_good, (trial.ours, trial.theirs)


@pytest.mark.parametrize("name", [each for each in NAMES if not TABLES[each].is_regression])
def test_probabilities_are_those_of_scikit_learn(name: str) -> None:
    trial = learnt(name)
    rows = prepared(trial.features, trial.table.times)
    assert list(trial.model.classes_) == list(trial.reference.classes_)
    ours = trial.model.predict_proba(trial.features)
    np.testing.assert_allclose(ours, trial.reference.predict_proba(rows), atol=0.01)


@pytest.mark.parametrize("data_format", ["csv", "parquet"])
@pytest.mark.parametrize("name", ["housing", "apartments", "mpg", "diamonds", "penguins_raw"])
def test_exact_least_squares_are_those_of_scikit_learn(name: str, data_format: str) -> None:
    table = TABLES[name]
    export, exact = EXPORTS[data_format], {"name": "least_squares"}
    # Text is text in Parquet, so times have their own type there.
    frame = with_times(table, few_rows(name)) if data_format == "parquet" else few_rows(name)
    trial = try_table(table, frame, export, f"rows.{data_format}", algorithm=exact)
    rows = prepared(trial.features, trial.table.times)
    ours, theirs = trial.model.predict(trial.features), trial.reference.predict(rows)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 * np.std(trial.labels))


@pytest.mark.parametrize("name", SMALL)
def test_parquet_is_learnt_like_text(name: str) -> None:
    text, parquet = learnt(name), learnt(name, "parquet")
    np.testing.assert_allclose(_outputs(text), _outputs(parquet), rtol=0, atol=2e-3)


VARIANTS: dict[str, tuple[str, Callable[[pd.DataFrame], bytes]]] = {
    "quoted": ("rows.csv", lambda frame: frame.to_csv(index=False, quoting=1).encode()),
    "crlf": ("rows.csv", lambda frame: frame.to_csv(index=False, lineterminator="\r\n").encode()),
    "bom": ("rows.csv", lambda frame: frame.to_csv(index=False).encode("utf-8-sig")),
    "gzip": ("rows.csv.gz", lambda frame: gzip.compress(as_csv(frame))),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_way_in_which_text_is_written_changes_no_model(variant: str) -> None:
    key, export = VARIANTS[variant]
    plain = learnt("penguins")
    other = try_table(TABLES["penguins"], few_rows("penguins"), export, key)
    np.testing.assert_allclose(_outputs(other), _outputs(plain), rtol=0, atol=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_predicted_like_a_frame(name: str, tmp_path: Path) -> None:
    trial = learnt(name)
    rows = tmp_path / "rows.csv"
    rows.write_bytes(as_csv(trial.features))
    directory = save_model(trial.job, tmp_path)
    found = tmp_path / "predicted.csv"
    command = ["predict", str(directory), str(rows), "--out", str(found)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    predicted = pd.read_csv(found, keep_default_na=False)
    ours = trial.model.predict(trial.features)
    if trial.table.is_regression:
        np.testing.assert_allclose(predicted["prediction"], ours, rtol=1e-5)
        return
    assert (predicted["prediction"].to_numpy() == ours).all()
    probabilities = predicted.filter(like="probability_").to_numpy(float)
    np.testing.assert_allclose(
        probabilities, trial.model.predict_proba(trial.features), rtol=1e-5, atol=1e-6
    )


def _outputs(trial: Trial) -> Any:
    """Return the predictions, relative to the deviation of the labels, or the probabilities."""
    if trial.table.is_regression:
        return trial.model.predict(trial.features) / np.std(trial.labels)
    return trial.model.predict_proba(trial.features)
