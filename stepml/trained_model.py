"""Trained models, which predict and can replace fitted estimators of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from stepml.ml.artifact import Artifact
from stepml.ml.data.scaling import scaled
from stepml.ml.matrices import CsrMatrix, Floats, Matrix
from stepml.ml.models import MODELS, KMeans, LinearModel
from stepml.ml.models.base import Array, WithProbabilities
from stepml.ml.models.classifiers import BinaryClassifier, MulticlassClassifier
from stepml.ml.models.metrics import accuracy, r2
from stepml.model_input import STANDARD, label_vector, place_of, rows_of

_Classifier = BinaryClassifier | MulticlassClassifier


class TrainedModel:
    """A trained model, which scikit-learn accepts as a fitted estimator.

    Every ``X`` is an array of any real type, nested lists, a data frame or a sparse matrix, of
    shape (n_samples, n_features). Its features are those of the data: the model itself fills in
    missing values and standardises. Columns of a data frame are reordered by name if the model's
    features have names. An invalid ``X`` raises `ValueError`.

    Attributes
    ----------
    card : mapping
        Description of the model and its training, see `stepml.ml.artifact.Artifact`.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features,), of str
        Only if the data had names.
    classes_ : array of shape (n_classes,)
        Of classifiers: the labels of the data, ascending; 0 and 1 if the model distinguishes one
        label from all others.
    coef_, intercept_ : array
        Of linear models, shaped as in scikit-learn. They apply to *prepared* features: if the job
        standardised, to ``(x - feature_mean) / feature_scale``.
    cluster_centers_ : array of shape (n_clusters, n_features)
        Of k-means, in the space of prepared features.
    """

    def __init__(self, artifact: Artifact) -> None:
        self.card = artifact.card
        self.n_features_in_ = artifact.model.n_features
        self._model = artifact.model
        self._w = artifact.parameters
        self._scale = artifact.scale
        self._block_sizes = STANDARD
        self._feature_names: list[str] = list(self.card.get("features", ()))
        self._missing: str = self.card.get("job", {}).get("data", {}).get("missing", "fail")

    def __repr__(self) -> str:
        return f"<{self._name} of {self.n_features_in_} features, job {self.card.get('job_id')!r}>"

    def predict(self, X: Any) -> Array:
        """Return the label, number or cluster of each row, an array of shape (n_samples,)."""
        return self._of_blocks(self._model.predict, X)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the quality of the predictions; greater is better.

        Classifiers: the share of correct classes. Linear regression: R², the explained share of
        the labels' variance. K-means: minus the inertia, the sum of squared distances of prepared
        rows from their nearest centroid; ``y`` is ignored.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), at least one row
        y : array-like of shape (n_samples,)
            Labels of the data. A model that distinguishes one label from all others also accepts
            bools: True for rows with that label.
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
        if np.ptp(labels) == 0:  # no variance to explain; scikit-learn returns the same
            return float((predicted == labels).all())
        return r2(predicted, labels)

    def expected(self, y: Any) -> Array:
        """Return the correct predictions for rows with labels ``y``.

        If the model distinguishes one label from all others: 1 for rows with that label, 0 for
        the rest. Otherwise ``y`` itself.

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
        """Of classifiers: a function that returns the decision values of rows ``X``.

        They have shape (n_samples,), positive for ``classes_[1]``, or (n_samples, n_classes).
        """
        if not isinstance(self._model, _Classifier):
            raise self._lacks("decision_function", "classifiers")
        return self._decision_function

    @property
    def predict_proba(self) -> Callable[[Any], Floats]:
        """Of logistic and softmax regression: a function that returns class probabilities.

        They have shape (n_samples, n_classes), in the order of `classes_`.
        """
        if not isinstance(self._model, WithProbabilities):
            have = [name for name, each in MODELS.items() if issubclass(each, WithProbabilities)]
            raise self._lacks("predict_proba", " and ".join(have))
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
        if not isinstance(self._model, LinearModel):
            raise self._lacks("coef_", "linear models")
        coefficients = self._model.arrays(self._w)["coefficients"]
        if not isinstance(self._model, _Classifier):
            return coefficients
        return self._side * coefficients.reshape(-1, self.n_features_in_)

    @property
    def intercept_(self) -> Floats | float:
        if not isinstance(self._model, LinearModel):
            raise self._lacks("intercept_", "linear models")
        intercepts = self._model.arrays(self._w)["intercept"]
        if not isinstance(self._model, _Classifier):
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
        """-1 if positive decision values stand for the first class, otherwise 1."""
        model = self._model
        is_first = (
            isinstance(model, BinaryClassifier)
            and model.negative is not None
            and model.positive < model.negative
        )
        return np.float32(-1 if is_first else 1)

    def __sklearn_tags__(self) -> Any:
        # Scorers and plots of scikit-learn call this; nothing else imports scikit-learn.
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
        assert isinstance(self._model, WithProbabilities)
        return self._of_blocks(self._model.probabilities, X)

    def _require_raw(self, labels: Array) -> None:
        """Refuse values of `predict` in place of the data's labels."""
        if not self._is_one_against_rest or labels.dtype.kind == "b":
            return
        positive = self.card["positive_class"]
        if positive not in (0, 1) and np.array_equal(np.unique(labels), [0, 1]):
            raise ValueError(
                "expected the labels of the data, got only 0 and 1, and neither is the learnt "
                f"class {positive:g}; pass y == {positive:g}, or bools"
            )

    def _inertia(self, X: Any) -> float:
        assert isinstance(self._model, KMeans)
        blocks = (block for block in self._blocks(X) if len(block))
        return sum(self._model.accumulate(self._w, block).inertia for block in blocks)

    def _of_blocks(self, function: Callable[[Floats, Matrix], Array], X: Any) -> Array:
        return np.concatenate([function(self._w, block) for block in self._blocks(X)])

    def _blocks(self, X: Any) -> Iterator[Matrix]:
        """Yield prepared rows, some at a time."""
        rows = rows_of(X, self.n_features_in_, self._feature_names)
        # Subtracting a mean makes zeros non-zero.
        stays_sparse = self._scale is None or not self._scale.mean.any()
        start = 0
        for block in rows.blocks(sparse=stays_sparse, sizes=self._block_sizes):
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
