"""Predictions from features that float32 is too coarse for: with all digits of float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest
import scipy.sparse
from pyarrow import parquet
from sklearn.datasets import dump_svmlight_file
from sklearn.preprocessing import StandardScaler

from stepml.cli.given_format import GivenFormat
from stepml.cli.prediction_rows import prediction_rows
from stepml.cli.prediction_source import source_at
from stepml.ml.artifact import Artifact, DamagedArtifactError
from stepml.ml.data import feature_moments, scale_of
from stepml.ml.data.remainders import Remainders, remainders_of
from stepml.ml.data.scaling import Scale
from stepml.trained_model import TrainedModel
from tests.support.artifacts import NAMES, example, write

RNG = np.random.default_rng(7)
X = np.stack(
    [
        RNG.normal(size=100),
        1.7e12 + RNG.integers(0, 600_000, 100),
        RNG.normal(size=100),
        2_460_000.5 + RNG.random(100),
    ],
    axis=1,
)
FINE = [1, 3]


def trained(**data: Any) -> TrainedModel:
    it = example("linear", features=True, **data)
    remainders = Remainders(np.array(FINE), remainders_of(X[:, FINE]))
    scale = scale_of(feature_moments(X.astype(np.float32), remainders))
    packed = Artifact(it.artifact.model, it.artifact.parameters, scale, it.artifact.card).pack()
    return TrainedModel(Artifact.unpack(*packed))


def right(rows: Any = X) -> Any:
    artifact = example("linear", features=True).artifact
    arrays = artifact.model.arrays(artifact.parameters)
    prepared = np.nan_to_num(StandardScaler().fit(X).transform(rows))
    return prepared @ arrays["coefficients"].astype(np.float64) + arrays["intercept"]


@pytest.mark.parametrize(
    "held",
    [
        np.asarray,
        np.asfortranarray,
        np.ndarray.tolist,
        lambda rows: rows.astype(object),
        lambda rows: pandas.DataFrame(rows, columns=[*NAMES]),
        lambda rows: pandas.DataFrame(rows, columns=[*NAMES]).iloc[:, ::-1],
        lambda rows: pyarrow.table(dict(zip(NAMES, rows.T, strict=True))),
        scipy.sparse.csr_matrix,
    ],
    ids=["array", "fortran", "list", "objects", "frame", "reversed", "arrow", "sparse"],
)
def test_every_way_to_hold_rows_keeps_their_digits(held: Any) -> None:
    model = trained()

    assert model.fine_features == FINE
    assert np.allclose(model.predict(held(X)), right(), rtol=1e-4, atol=1e-4)


def test_coefficients_have_the_digits_for_rows_as_in_the_data() -> None:
    model = trained()
    assert np.allclose(X @ model.coef_ + model.intercept_, right(), rtol=1e-5, atol=1e-5)


def test_a_missing_value_is_the_mean() -> None:
    rows = X.copy()
    rows[::3, 1] = np.nan
    model = trained(missing="mean")

    assert np.allclose(model.predict(rows), right(rows), rtol=1e-4, atol=1e-4)


def csv(path: Path) -> None:
    pandas.DataFrame(X[:, ::-1], columns=[*NAMES[::-1]]).to_csv(path, index=False)


def libsvm(path: Path) -> None:
    dump_svmlight_file(X, np.zeros(100), str(path), zero_based=False)


def npz(path: Path) -> None:
    np.savez(path, X=X)


def table(path: Path) -> None:
    parquet.write_table(pyarrow.table(dict(zip(NAMES, X.T, strict=True))), path)


WRITERS = {"csv": csv, "libsvm": libsvm, "npz": npz, "parquet": table}


@pytest.mark.parametrize("ending", WRITERS)
def test_the_command_reads_all_digits(ending: str, tmp_path: Path) -> None:
    model = trained()
    path = tmp_path / f"rows.{ending}"
    WRITERS[ending](path)

    rows = prediction_rows(source_at(str(path)), model, GivenFormat())
    found = np.concatenate([model.predict(block.X) for block in rows.blocks()])

    assert np.allclose(found, right(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "fine",
    [
        {"fine": np.array([1, 1]), "fine_mean": np.zeros(2)},
        {"fine": np.array([1, 9]), "fine_mean": np.zeros(2)},
        {"fine": np.array([1]), "fine_mean": np.zeros(2)},
        {"fine": np.array([1]), "fine_mean": np.zeros(1, np.float32)},
    ],
    ids=["twice", "beyond", "more means", "float32"],
)
def test_fine_features_that_do_not_fit_are_a_damage(fine: Any, tmp_path: Path) -> None:
    artifact = example("linear", prepared="dense").artifact
    assert artifact.scale is not None
    named = {name: getattr(artifact.scale, name) for name in ("fill", "mean", "scale")}
    damaged = Artifact(artifact.model, artifact.parameters, Scale(**named, **fine), artifact.card)

    with pytest.raises(DamagedArtifactError):
        Artifact.unpack(*damaged.pack())
    assert write(artifact, tmp_path).exists()
