"""Trained models of every kind, with rows to predict, like those that a job writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stepml.ml.artifact import ARRAYS_FILE, CARD_FILE, Artifact
from stepml.ml.class_names import ClassNames
from stepml.ml.data import feature_moments, scale_of
from stepml.ml.matrices import CsrMatrix, Floats
from stepml.ml.models import (
    BinarySvm,
    KMeans,
    LinearRegression,
    LogisticRegression,
    Model,
    OneVsRestSvm,
    SoftmaxRegression,
)

N_FEATURES = 4
NAMES = ("a", "b", "c", "d")
MODELS: dict[str, tuple[str, Model]] = {
    "logistic": ("logistic_regression", LogisticRegression(N_FEATURES, 2.0, 1.0)),
    "logistic, lesser label": ("logistic_regression", LogisticRegression(N_FEATURES, 1.0, 2.0)),
    "logistic, one against rest": ("logistic_regression", LogisticRegression(N_FEATURES, 3.0)),
    "softmax": ("softmax_regression", SoftmaxRegression(N_FEATURES, (1.0, 2.0, 7.0))),
    "softmax of two classes": ("softmax_regression", SoftmaxRegression(N_FEATURES, (1.0, 2.0))),
    "svm": ("svm", BinarySvm(N_FEATURES, 1.0, 0.0)),
    "svm of several classes": ("svm", OneVsRestSvm(N_FEATURES, (0.5, 1.0, 3.0))),
    "svm of whole classes": ("svm", OneVsRestSvm(N_FEATURES, (1.0, 2.0, 7.0))),
    "linear": ("linear_regression", LinearRegression(N_FEATURES)),
    "kmeans": ("kmeans", KMeans(N_FEATURES, 3)),
}
# Of labels that are no numbers.
NAMED: dict[str, tuple[str, Model]] = {
    "logistic of text": (
        "logistic_regression",
        LogisticRegression(N_FEATURES, 0.0, 1.0, names=ClassNames("text", ("no", "yes"))),
    ),
    "softmax of text": (
        "softmax_regression",
        SoftmaxRegression(N_FEATURES, (0.0, 1.0, 2.0), names=ClassNames("text", ("a", "b", "c"))),
    ),
    "svm of booleans": (
        "svm",
        BinarySvm(N_FEATURES, 1.0, 0.0, names=ClassNames("boolean", ("False", "True"))),
    ),
}


@dataclass(frozen=True)
class Example:
    """A model that was never trained, and rows."""

    artifact: Artifact
    X: Floats  # (100, 4), with zeros

    @property
    def sparse(self) -> CsrMatrix:
        rows, columns = np.nonzero(self.X)
        indptr = np.searchsorted(rows, np.arange(len(self.X) + 1)).astype(np.int64)
        return CsrMatrix(indptr, columns.astype(np.int32), self.X[rows, columns], N_FEATURES)


def example(
    kind: str = "logistic", *, prepared: str = "", features: bool = False, **data: Any
) -> Example:
    """Return a model of this kind; its rows are ``prepared`` as "dense" or "sparse", or not."""
    name, model = (MODELS | NAMED)[kind]
    rng = np.random.default_rng(len(kind))
    X = rng.normal(2, 3, (100, N_FEATURES)).astype(np.float32)
    X[rng.random(X.shape) < 0.4] = 0
    w = rng.normal(0, 1, model.n_parameters).astype(np.float32)
    card = {
        "model": name,
        "n_features": N_FEATURES,
        **model.describe(),
        "label": "y" if features else "",
        "features": list(NAMES) if features else [],
        "standardised": bool(prepared),
        "job": {"data": JOB_DATA | data},
        "job_id": "job",
        "epoch": 3,
        "metrics": {"loss": 0.5},
        "versions": {},
    }
    scale = scale_of(feature_moments(X), sparse=prepared == "sparse") if prepared else None
    return Example(Artifact(model, w, scale, card), X)


JOB_DATA: dict[str, Any] = {
    "uri": "s3://data/rows.csv",
    "format": "csv",
    "header": None,
    "label": None,
    "has_label": True,
    "missing": "fail",
    "on_bad_row": "fail",
}


def write(artifact: Artifact, directory: Path) -> Path:
    """Write the artifact like `stepml run`."""
    directory.mkdir(parents=True, exist_ok=True)
    packed, card = artifact.pack()
    (directory / ARRAYS_FILE).write_bytes(packed)
    (directory / CARD_FILE).write_bytes(card)
    return directory
