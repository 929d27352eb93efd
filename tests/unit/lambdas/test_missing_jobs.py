"""Jobs with missing values in their rows: they are filled in, in any format."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.impute import SimpleImputer

from stepml.job import keys
from stepml.job.errors import BadRowError
from stepml.ml.artifact import Artifact
from stepml.ml.data import arrays
from stepml.trained_model import TrainedModel
from tests.support.jobs import Job

N_SAMPLES, N_FEATURES = 300, 40


def sparse_rows() -> tuple[bytes, np.ndarray]:
    """Return a CSR matrix with missing values as npz, and the same matrix dense."""
    rng = np.random.default_rng(2)
    matrix = scipy.sparse.random(N_SAMPLES, N_FEATURES, 0.09, "csr", np.float32, rng)
    matrix.data += 1
    sums = matrix.sum(axis=1).A1
    y = (sums > np.median(sums)).astype(np.int64)
    matrix.data[rng.random(matrix.nnz) < 0.2] = np.nan
    file = io.BytesIO()
    parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}
    np.savez(file, **parts, y=y, shape=np.array(matrix.shape), format=np.array(b"csr"))
    return file.getvalue(), matrix.toarray()


@pytest.mark.parametrize("matrix", ["sparse", "dense"])
@pytest.mark.parametrize("standardise", [True, False])
def test_missing_values_of_csr_rows_become_the_mean(standardise: bool, matrix: str) -> None:
    uri = {"uri": "s3://data/rows.npz", "format": "npz", "missing": "mean"}
    job = Job(data={**uri, "standardise": standardise, "matrix": matrix})
    content, rows = sparse_rows()
    job.data.save("rows.npz", content)
    job.initialised()
    for number in (1, 2):
        report = job.epoch(number)
        assert np.isfinite([report.loss, report.training_loss]).all()
    assert report.loss < np.log(2)
    assert np.isfinite(np.frombuffer(job.state_bits(2), np.float32)).all()
    assert job.finalise(2).dataset.matrix == matrix
    model, _ = arrays.unpack(job.storage.load(keys.model("job")))
    # Of training rows; unstored zeros are values.
    np.testing.assert_allclose(model["feature_fill"], np.nanmean(rows, axis=0), atol=0.1)


N_ROWS = 400
GAPS = np.random.default_rng(5)
TABLE = pd.DataFrame(
    {
        "a": np.where(GAPS.random(N_ROWS) < 0.1, np.nan, GAPS.normal(size=N_ROWS)),
        "b": np.where(GAPS.random(N_ROWS) < 0.3, np.nan, GAPS.integers(0, 4, N_ROWS)),
        "c": GAPS.normal(size=N_ROWS),
        "y": np.arange(N_ROWS) % 2,
    }
)
FILLS: dict[Any, dict[str, Any]] = {
    "mean": {"strategy": "mean"},
    "median": {"strategy": "median"},
    "most_frequent": {"strategy": "most_frequent"},
    "zero": {"strategy": "constant", "fill_value": 0},
    -7.5: {"strategy": "constant", "fill_value": -7.5},
}


def content_of(table: pd.DataFrame, kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "npz":
        np.savez(file, X=np.ascontiguousarray(table[["a", "b", "c"]]), y=table["y"])
    elif kind == "parquet":
        table.to_parquet(file, index=False)
    else:
        table.to_csv(file, index=False)
    return file.getvalue()


def trained(kind: str, table: pd.DataFrame = TABLE, **data: Any) -> tuple[Job, TrainedModel]:
    # All rows are for training, so their fills are those of the table.
    uri = {"uri": f"s3://data/rows.{kind}", "format": kind, "validation_fraction": 0}
    job = Job(data={**uri, **data})
    job.data.save(f"rows.{kind}", content_of(table, kind))
    job.initialised()
    job.epoch(1)
    job.finalise(1)
    files = (job.storage.load(key("job")) for key in (keys.model, keys.model_card))
    return job, TrainedModel(Artifact.unpack(*files))


@pytest.mark.parametrize("kind", ["csv", "npz", "parquet"])
@pytest.mark.parametrize("missing", FILLS)
def test_missing_values_are_filled_in_as_by_scikit_learn(missing: Any, kind: str) -> None:
    _, model = trained(kind, missing=missing, standardise=False)
    features = TABLE[["a", "b", "c"]]
    filled = SimpleImputer(**FILLS[missing]).fit_transform(features)
    expected = model.decision_function(filled.astype(np.float32))
    np.testing.assert_allclose(model.decision_function(features.to_numpy()), expected, rtol=1e-5)
    if kind == "csv":  # other texts are shuffled in another order
        return
    _, other = trained(
        kind,
        TABLE.assign(**dict(zip("abc", filled.T, strict=True))),
        missing="fail",
        standardise=False,
    )
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=1e-5)


def test_numbers_are_filled_in_with_the_mean_unless_the_job_says_otherwise() -> None:
    job, model = trained("csv")
    _, same = trained("csv", missing="mean")
    assert (model.coef_ == same.coef_).all()
    facts = job.training_plan().about
    assert [each["missing"] for each in model.pipeline_["columns"]] == ["mean"] * 3
    assert facts.missing_values == TABLE.isna().sum().sum()
    assert "missing numbers become the mean" in facts.notes[-2]


def test_fills_are_learnt_on_training_rows_alone() -> None:
    held_out = TABLE.assign(valid=(np.arange(N_ROWS) < 100).astype(int), b=TABLE.b + 1e3)
    held_out.loc[held_out.valid == 0, "b"] -= 1e3
    for missing in ("mean", "median", "most_frequent"):
        _, model = trained(
            "csv",
            held_out,
            missing=missing,
            label="y",
            validation={"column": "valid"},
            validation_fraction=0.1,
        )
        assert model.decision_function([[0, np.nan, 0]]) == pytest.approx(
            model.decision_function(
                [[0, SimpleImputer(strategy=missing).fit(TABLE[["b"]][100:]).statistics_[0], 0]]
            ),
            rel=1e-5,
        )


def test_columns_have_fills_of_their_own() -> None:
    _, model = trained("csv", missing={"a": -1, "[ab]": "median"})
    row = [[-1.0, TABLE.b.median(), TABLE.c.mean()]]
    assert [each["missing"] for each in model.pipeline_["columns"]] == [-1, "median", "mean"]
    assert model.decision_function(np.full((1, 3), np.nan)) == pytest.approx(
        model.decision_function(row)
    )


@pytest.mark.parametrize("kind", ["csv", "npz", "parquet"])
def test_a_job_may_refuse_missing_values(kind: str) -> None:
    with pytest.raises(BadRowError, match="a missing value"):
        trained(kind, missing="fail")
    _, model = trained(kind, TABLE.fillna(0), missing="fail")
    with pytest.raises(ValueError, match=r"no value \(NaN\) in row 0"):
        model.predict([[0, np.nan, 0]])


@pytest.mark.parametrize("kind", ["csv", "npz", "parquet"])
def test_rows_to_predict_may_lack_what_no_training_row_lacked(kind: str) -> None:
    job, model = trained(kind, TABLE.fillna(0))
    assert job.training_plan().about.missing_values == 0
    mean = TABLE.fillna(0)[["a", "b", "c"]].mean().to_numpy()[None]
    found = model.decision_function(np.full((1, 3), np.nan))
    np.testing.assert_allclose(found, model.decision_function(mean), atol=1e-5)
