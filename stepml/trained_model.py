"""Trained models where people work: read back from files or S3, and predicting.

::

    import stepml

    model = stepml.load_model("runs/my-run")
    model.predict(X)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stepml.job.errors import StepMLError
from stepml.ml.artifact import ARRAYS_FILE, CARD_FILE, Artifact, ArtifactError
from stepml.ml.data.scaling import scaled
from stepml.ml.matrices import CsrMatrix, Floats, Matrix
from stepml.ml.models import KMeans, LinearRegression, LogisticRegression, SoftmaxRegression
from stepml.ml.models.base import Array
from stepml.ml.models.classifiers import BinaryClassifier, MulticlassClassifier
from stepml.ml.models.metrics import accuracy, r2
from stepml.model_input import label_vector, place_of, rows_of

_ENDPOINT_VARIABLE = "AWS_ENDPOINT_URL"
_Classifier = BinaryClassifier | MulticlassClassifier
_WithProbabilities = LogisticRegression | SoftmaxRegression
_Linear = _Classifier | LinearRegression
_NOT_FOUND = frozenset({"404", "NoSuchKey", "NoSuchBucket"})


class ModelNotFoundError(StepMLError, FileNotFoundError):
    """No model lies where it was said to be."""


def load_model(where: str | os.PathLike[str], *, endpoint_url: str | None = None) -> TrainedModel:
    """Return the model that a job left.

    Parameters
    ----------
    where : str or path
        A directory (``runs/<name>``), the path of a ``model.safetensors`` with its card beside
        it, or either of them in S3: ``s3://<bucket>/jobs/<name>``.
    endpoint_url : str, optional
        Where S3 is; by default what ``AWS_ENDPOINT_URL`` says, or AWS.

    Raises
    ------
    ModelNotFoundError
        If there is none.
    ArtifactError
        If the files are no model of StepML, damaged, or of a later version.
    AccessError
        If S3 cannot be reached or refuses.
    """
    place = os.fspath(where)
    read = _reader_of_s3(endpoint_url) if place.startswith("s3://") else _read_file
    for path in _candidates(place):
        packed = read(path)
        if packed is not None:
            return TrainedModel(_artifact(path, packed, read))
    raise ModelNotFoundError(f"no model at {place}: expected {ARRAYS_FILE} and {CARD_FILE}")


class TrainedModel:
    """A trained model, to predict with; it goes where scikit-learn takes a fitted estimator.

    Wherever ``X`` is asked for, it is an array of any real type, nested lists, a data frame or a
    sparse matrix, of shape (n_samples, n_features) and as the features stand in the data: filling
    in missing values and standardising are part of the model. A data frame's columns are put into
    the order of the features, if both have names. `ValueError` says what is wrong with ``X``.

    Attributes
    ----------
    card : mapping
        What the model is and how it came about, see `stepml.ml.artifact.Artifact`.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features,), of str
        If the data had names.
    classes_ : array of shape (n_classes,)
        Of classifiers: the labels as they stand in the data, ascending. 0 and 1 if one label is
        told from all others.
    coef_, intercept_ : array
        Of linear models, shaped as scikit-learn's. They are those of *prepared* features: where
        the job standardised, of ``(x - feature_mean) / feature_scale``.
    cluster_centers_ : array of shape (n_clusters, n_features)
        Of k-means, in the space of prepared features, too.
    """

    def __init__(self, artifact: Artifact) -> None:
        self.card = artifact.card
        self.n_features_in_ = artifact.model.n_features
        self._model = artifact.model
        self._w = artifact.parameters
        self._scale = artifact.scale
        self._feature_names: list[str] = list(self.card.get("features", ()))
        self._missing: str = self.card.get("job", {}).get("data", {}).get("missing", "fail")

    def __repr__(self) -> str:
        return f"<{self._name} of {self.n_features_in_} features, job {self.card.get('job_id')!r}>"

    def predict(self, X: Any) -> Array:
        """Return the label, the number, or the cluster of each row, (n_samples,)."""
        return self._of_blocks(self._model.predict, X)

    def score(self, X: Any, y: Any = None) -> float:
        """Return how good the predictions are: the greater, the better.

        Classifiers: the share of rows whose class is right. Linear regression: R², the share of
        the labels' variance that is explained. K-means: minus the inertia, the sum of squared
        distances of prepared rows from their nearest centroid; ``y`` plays no part.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), at least one row
        y : array-like of shape (n_samples,)
            Labels as they stand in the data. Where one label is told from all others, bools are
            taken, too: whether a row has it.
        """
        if isinstance(self._model, KMeans):
            return -self._inertia(X)
        if y is None:
            raise ValueError(f"the score of a {self._name} needs y, the labels")
        predicted = self.predict(X)
        labels = label_vector(y, len(predicted))
        if not len(labels):
            raise ValueError("a score needs at least one row")
        if isinstance(self._model, _Classifier):
            self._require_raw(labels)
            return accuracy(predicted, self.expected(labels))
        if np.ptp(labels) == 0:  # nothing to explain; as scikit-learn has it
            return float((predicted == labels).all())
        return r2(predicted, labels)

    def expected(self, y: Any) -> Array:
        """Return what `predict` returns for rows of these labels, if it is right about them.

        Where one label is told from all others, 1 for rows that have it and 0 for the rest;
        otherwise ``y``.

        Parameters
        ----------
        y : array-like of shape (n_samples,)
            As in `score`.
        """
        labels = label_vector(y, len(y))
        if not self._is_one_against_rest or labels.dtype.kind == "b":
            return labels.astype(np.float32)
        assert isinstance(self._model, BinaryClassifier)
        positive = labels.astype(np.float32) == np.float32(self._model.positive)
        return np.where(positive, np.float32(1), np.float32(0))

    @property
    def decision_function(self) -> Callable[[Any], Floats]:
        """Of classifiers: return of rows ``X`` what `predict` decides by.

        An array of shape (n_samples,), above 0 for ``classes_[1]``, or (n_samples, n_classes).
        """
        if not isinstance(self._model, _Classifier):
            raise self._lacks("decision_function", "classifiers")
        return self._decision_function

    @property
    def predict_proba(self) -> Callable[[Any], Floats]:
        """Of logistic and softmax regression: return the probability of each of `classes_`.

        An array of shape (n_samples, n_classes).
        """
        if not isinstance(self._model, _WithProbabilities):
            raise self._lacks("predict_proba", "logistic_regression and softmax_regression")
        return self._predict_proba

    @property
    def classes_(self) -> Array:
        if not isinstance(self._model, _Classifier):
            raise self._lacks("classes_", "classifiers")
        return np.array(self._model.classes, np.float32)

    @property
    def feature_names_in_(self) -> Array:
        if not self._feature_names:
            raise AttributeError("feature_names_in_: the data of this model had no names")
        return np.array(self._feature_names, dtype=object)

    @property
    def coef_(self) -> Floats:
        if not isinstance(self._model, _Linear):
            raise self._lacks("coef_", "linear models")
        coefficients = self._model.arrays(self._w)["coefficients"]
        if isinstance(self._model, LinearRegression):
            return coefficients
        return self._side * coefficients.reshape(-1, self.n_features_in_)

    @property
    def intercept_(self) -> Floats | float:
        if not isinstance(self._model, _Linear):
            raise self._lacks("intercept_", "linear models")
        intercepts = self._model.arrays(self._w)["intercept"]
        if isinstance(self._model, LinearRegression):
            return float(intercepts[0])
        return self._side * intercepts

    @property
    def cluster_centers_(self) -> Floats:
        if not isinstance(self._model, KMeans):
            raise self._lacks("cluster_centers_", "kmeans")
        return self._model.arrays(self._w)["centroids"]

    @property
    def _name(self) -> str:
        return str(self.card["model"])

    @property
    def _is_one_against_rest(self) -> bool:
        return isinstance(self._model, BinaryClassifier) and self._model.negative is None

    @property
    def _side(self) -> np.float32:
        """-1 if the class that is told by values above 0 is not the second one, otherwise 1."""
        model = self._model
        is_first = (
            isinstance(model, BinaryClassifier)
            and model.negative is not None
            and model.positive < model.negative
        )
        return np.float32(-1 if is_first else 1)

    def __sklearn_tags__(self) -> Any:
        # What scorers and plots of scikit-learn ask an estimator for; nothing else imports it.
        from sklearn.utils import ClassifierTags, RegressorTags, Tags, TargetTags

        kind = "classifier" if isinstance(self._model, _Classifier) else "regressor"
        if isinstance(self._model, KMeans):
            kind = "clusterer"
        return Tags(
            estimator_type=kind,
            target_tags=TargetTags(required=kind != "clusterer"),
            classifier_tags=ClassifierTags() if kind == "classifier" else None,
            regressor_tags=RegressorTags() if kind == "regressor" else None,
        )

    def _decision_function(self, X: Any) -> Floats:
        assert isinstance(self._model, _Classifier)
        return self._side * self._of_blocks(self._model.decision, X)

    def _predict_proba(self, X: Any) -> Floats:
        assert isinstance(self._model, _WithProbabilities)
        return self._of_blocks(self._model.probabilities, X)

    def _require_raw(self, labels: Array) -> None:
        """Refuse what `predict` returns where the data's labels are meant."""
        if not self._is_one_against_rest or labels.dtype.kind == "b":
            return
        positive = self.card["positive_class"]
        if positive not in (0, 1) and np.array_equal(np.unique(labels), [0, 1]):
            raise ValueError(
                "expected labels as they stand in the data, got only 0 and 1, none of which is "
                f"the class {positive:g} that was learnt; pass y == {positive:g}, or bools"
            )

    def _inertia(self, X: Any) -> float:
        assert isinstance(self._model, KMeans)
        blocks = (block for block in self._blocks(X) if len(block))
        return sum(self._model.accumulate(self._w, block).inertia for block in blocks)

    def _of_blocks(self, function: Callable[[Floats, Matrix], Array], X: Any) -> Array:
        return np.concatenate([function(self._w, block) for block in self._blocks(X)])

    def _blocks(self, X: Any) -> Iterator[Matrix]:
        """Yield rows as the model takes them, some at a time."""
        rows = rows_of(X, self.n_features_in_, self._feature_names)
        # Zeros do not stay zeros if a mean is subtracted.
        stays_sparse = self._scale is None or not self._scale.mean.any()
        start = 0
        for block in rows.blocks(sparse=stays_sparse):
            known = self._filled(block, start, rows.title)
            yield known if self._scale is None else scaled(known, self._scale)
            start += len(block)

    def _filled(self, X: Matrix, start: int, title: Callable[[int], str]) -> Matrix:
        """Return rows without missing values, or raise `ValueError` if the job allowed none."""
        values = X.values[X.pairs] if isinstance(X, CsrMatrix) else X
        missing = np.isnan(values)
        if not missing.any():
            return X
        if self._missing == "fail":
            row, feature = place_of(X, np.isnan)
            raise ValueError(
                f"X has no value (NaN) in row {start + row}, {title(feature)}; the model was "
                "trained with data.missing 'fail': fill it in, or train with 'zero' or 'mean'"
            )
        fills = np.zeros(self.n_features_in_, np.float32)
        if self._missing == "mean" and self._scale is not None:
            fills = self._scale.fill
        if not isinstance(X, CsrMatrix):
            return np.where(missing, fills, X)
        known = np.where(missing, fills.take(X.indices[X.pairs]), values)
        return replace(X, indptr=X.indptr - X.indptr[0], indices=X.indices[X.pairs], values=known)

    def _lacks(self, what: str, who: str) -> AttributeError:
        return AttributeError(f"a {self._name} has no {what}: only {who} have")


_Reader = Callable[[str], bytes | None]  # the content of a file; None: there is none


def _candidates(place: str) -> list[str]:
    """Return where a model's arrays may be: the file, in the directory, or in the job's."""
    if place.endswith(".safetensors"):
        return [place]
    directory = place.rstrip("/")
    return [f"{directory}/{ARRAYS_FILE}", f"{directory}/model/{ARRAYS_FILE}"]


def _artifact(path: str, packed: bytes, read: _Reader) -> Artifact:
    card_path = f"{path.removesuffix('.safetensors')}.json"
    card = read(card_path)
    if card is None:
        raise ModelNotFoundError(f"the model {path} has no card: expected {card_path}")
    try:
        return Artifact.unpack(packed, card)
    except ArtifactError as error:
        raise type(error)(f"{path}: {error}") from error


def _read_file(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _reader_of_s3(endpoint_url: str | None) -> _Reader:
    from stepml.client import connect
    from stepml.client.connection import translated
    from stepml.client.errors import ServiceRefusedError

    connection = connect(endpoint_url or os.environ.get(_ENDPOINT_VARIABLE) or None)

    def read(uri: str) -> bytes | None:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        try:
            with translated(connection.endpoint_url):
                return connection.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        except ServiceRefusedError as error:
            if error.code in _NOT_FOUND:
                return None
            raise

    return read
