"""Trained models, which predict and can replace fitted estimators of scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stepml.job.spec_base import Label
from stepml.ml.class_names import NUMBERS as NUMBERS_ALONE
from stepml.ml.class_names import ClassNames
from stepml.ml.matrices import Floats, Floats64
from stepml.ml.models import KMeans, NeuralNetwork
from stepml.ml.models.base import Array, WithProbabilities
from stepml.ml.models.classifiers import BinaryClassifier
from stepml.trained import scores
from stepml.trained.estimator import FittedEstimator, available_if
from stepml.trained.kinds import (
    Classifier,
    Multiclass,
    of_classifiers,
    of_kmeans,
    of_linear,
    of_modules,
    of_probabilities,
)
from stepml.trained.labels import class_labels, require_labels
from stepml.trained.model_columns import ModelOfColumns
from stepml.trained.modules import linear_module
from stepml.trained.numbers import NUMBERS, vector

if TYPE_CHECKING:
    from torch.nn import Module


class TrainedModel(ModelOfColumns, FittedEstimator):
    """A trained model, which scikit-learn accepts as a fitted estimator.

    Every ``X`` is an array of any real type, nested lists, a table of pandas, polars or pyarrow, or
    a sparse matrix, of shape (n_samples, n_features). A network also takes images of shape
    (n_samples, channels, height, width), or (n_samples, height, width) if there is one channel. The
    features are those of the data: the model itself encodes words and times, fills in missing
    values and scales. The columns of a table are found by name if the model's have names, and
    others are left out. A table may also be a mapping of columns, or a list of mappings. An
    invalid ``X`` raises `ValueError`.

    Attributes
    ----------
    card : mapping
        Description of the model and its training, see `stepml.ml.artifact.Artifact`.
    n_features_in_, n_features_out_ : int
        Columns of the data that are features, and the features of the model that they become.
    n_iter_ : int
        Epochs of the training.
    feature_names_in_, feature_names_out_ : arrays of str
        Their names, such as ``color`` and ``color=red``; only if the data had names.
    pipeline_ : dict
        What became of each column, as JSON; only of data with columns.
    classes_ : array of shape (n_classes,)
        Of classifiers: the labels of the data, ascending, as text, booleans or numbers; 0 and 1 if
        the model distinguishes one label from all others.
    coef_, intercept_ : array of float64
        Of linear models, shaped as in scikit-learn. They apply to rows as in the data, also if the
        job standardised: ``X @ coef_.T + intercept_`` are the decision values, or the predictions
        of a regression. Of tables with words or times, they apply to the encoded features, in the
        order of ``feature_names_out_``.
    cluster_centers_ : array of shape (n_clusters, n_features)
        Of k-means, in the space of prepared features.
    """

    def predict(self, X: Any) -> Array:
        """Return the label, number or cluster of each row, an array of shape (n_samples,)."""
        return self._names.array(self._of_blocks(self._model.predict, X))

    @available_if(of_classifiers)
    def decision_function(self, X: Any) -> Floats:
        """Return the decision values of rows; only classifiers have them.

        They have shape (n_samples,), positive for ``classes_[1]``, if there are two classes,
        otherwise (n_samples, n_classes).
        """
        assert isinstance(self._model, Classifier)
        values = self._of_blocks(self._model.decision, X)
        return self._of_classes(values.T).T

    @available_if(of_probabilities)
    def predict_proba(self, X: Any) -> Floats64:
        """Return the probability of each class, an array of shape (n_samples, n_classes).

        The order is that of `classes_`. Of linear models, only logistic and softmax regression
        have probabilities.
        """
        assert isinstance(self._model, WithProbabilities)
        return self._of_blocks(self._model.probabilities, X)

    @available_if(of_probabilities)
    def predict_log_proba(self, X: Any) -> Floats64:
        """Return the logarithms of `predict_proba`, finite also where that is 0."""
        z = self.decision_function(X).astype(np.float64)
        if z.ndim == 1:
            z = np.stack([np.zeros_like(z), z], axis=1)
        logarithms: Floats64 = z - np.logaddexp.reduce(z, axis=1, keepdims=True)
        return logarithms

    @available_if(of_kmeans)
    def transform(self, X: Any) -> Floats:
        """Return the distance of each prepared row from each centroid; only of k-means.

        The array has shape (n_samples, n_clusters).
        """
        assert isinstance(self._model, KMeans)
        return self._of_blocks(self._model.distances, X)

    @available_if(of_kmeans)
    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Return the names of the columns of `transform`: ``kmeans0`` and so on."""
        return np.array([f"kmeans{each}" for each in range(len(self.cluster_centers_))], object)

    @available_if(of_modules)
    def module(self) -> Module:
        """Return a torch module in evaluation mode; only networks and linear models have one.

        It takes rows as in the data (float64, if there are `fine_features`, else float32), or those
        of `encode` if they have categories. Its part ``preparation`` fills them in and scales them
        for the bare ``network``. The outputs, of shape
        (n_samples, n_outputs), are decision values, or predictions of a regression. Those of
        classifiers are named by the module's `classes`, the list of `output_labels`. Each call
        returns a new module. Without torch, it raises `NotAvailableError`.
        """
        scale = self._preparation.scale
        if isinstance(self._model, NeuralNetwork):
            module = self._model.module(self._w, scale)
        else:
            module = linear_module(*self._function_of_prepared, scale)
        module.classes = self.output_labels  # type: ignore[assignment]
        return module

    @property
    def output_labels(self) -> list[Label]:
        """The label of the class that each output of `module` speaks for; none of other models.

        A single output is above 0 for this class, and below 0 for the other one.
        """
        if not isinstance(self._model, Classifier):
            return []
        labels: list[Label] = self.classes_.tolist()
        if isinstance(self._model, NeuralNetwork):
            return labels if self._model.n_outputs > 1 else labels[1:]
        return labels if len(labels) > 2 else labels[1:]

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
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
        sample_weight : array-like of shape (n_samples,), optional
            Factors of the rows.
        """
        if isinstance(self._model, KMeans):
            return -self._inertia(X, sample_weight)
        if y is None:
            raise ValueError(f"the score of a {self._name} needs y, the labels")
        predicted = self.predict(X)
        is_classifier = isinstance(self._model, Classifier)
        labels = self._learnt(y, len(predicted))
        if not len(labels):
            raise ValueError("a score needs at least one row")
        weights = scores.weights_of(sample_weight, len(labels))
        if not is_classifier:
            return scores.r2(predicted, labels, weights)
        if self._is_one_against_rest:
            require_labels(labels, self.card["positive_class"])
        return scores.accuracy(predicted, self.expected(labels), weights)

    def expected(self, y: Any) -> Array:
        """Return the correct predictions for rows with labels ``y``.

        If the model distinguishes one label from all others: True for rows with that label, False
        for the rest. Otherwise ``y`` itself.

        Parameters
        ----------
        y : array-like of shape (n_samples,)
            As in `score`.
        """
        labels = self._learnt(y, len(y))
        if not self._is_one_against_rest:
            return labels if self._names.names else labels.astype(np.float32)
        if labels.dtype.kind == "b":
            return labels
        positive: Array = labels == self.card["positive_class"]
        if labels.dtype.kind in NUMBERS:
            positive = labels.astype(np.float32) == np.float32(self.card["positive_class"])
        return positive

    @property
    def n_iter_(self) -> int:
        return int(self.card["epoch"])

    @property
    def classes_(self) -> Array:
        of_classifiers(self, "classes_")
        assert isinstance(self._model, Classifier)
        return self._names.array(np.array(self._model.classes, np.float32))

    @property
    def coef_(self) -> Floats64:
        of_linear(self, "coef_")
        coefficients, _ = self._linear_function
        return coefficients if isinstance(self._model, Classifier) else coefficients[0]

    @property
    def intercept_(self) -> Floats64 | float:
        of_linear(self, "intercept_")
        _, intercepts = self._linear_function
        return intercepts if isinstance(self._model, Classifier) else float(intercepts[0])

    @property
    def cluster_centers_(self) -> Floats:
        of_kmeans(self, "cluster_centers_")
        return self._model.arrays(self._w)["centroids"]

    @property
    def _linear_function(self) -> tuple[Floats64, Floats64]:
        """Coefficients and intercepts of the decision values, (n_outputs, …), for raw rows."""
        return self._preparation.as_of_data(*self._function_of_prepared)

    @property
    def _function_of_prepared(self) -> tuple[Floats, Floats]:
        """Coefficients (n_outputs, n_features) and intercepts (n_outputs,) for prepared rows."""
        arrays = self._model.arrays(self._w)
        both = [arrays["coefficients"], arrays["intercept"]]
        if isinstance(self._model, Classifier):
            both = [self._of_classes(each) for each in both]
        coefficients, intercepts = both
        return coefficients.reshape(-1, self.n_features_out_), intercepts.reshape(-1)

    @property
    def _is_one_against_rest(self) -> bool:
        return isinstance(self._model, BinaryClassifier) and self._model.negative is None

    @property
    def _names(self) -> ClassNames:
        """The names of the predicted classes, if these are no numbers."""
        return self._label_names if not self._is_one_against_rest else NUMBERS_ALONE

    @property
    def _label_names(self) -> ClassNames:
        """The names of the data's labels, if these are classes and no numbers."""
        return self._model.names if isinstance(self._model, Classifier) else NUMBERS_ALONE

    def _learnt(self, y: Any, n_rows: int) -> Array:
        """Return labels as the data have them, or bools of one label against the rest."""
        names = self._label_names
        are_bools = getattr(np.asarray(y), "dtype", None) == np.bool_
        if not names.names or (self._is_one_against_rest and are_bools):
            return vector(y, n_rows, "y")
        return class_labels(y, n_rows, names)

    def _of_classes(self, values: Floats) -> Floats:
        """Return values of the model's outputs as values of the classes, or of the second of two.

        Parameters
        ----------
        values : array of shape (n_outputs, …), or of one output without that axis
        """
        model = self._model
        if isinstance(model, Multiclass):
            return values[1] - values[0] if len(model.classes) == 2 else values
        assert isinstance(model, BinaryClassifier)
        is_first = model.negative is not None and model.positive < model.negative
        return np.float32(-1 if is_first else 1) * values

    def __sklearn_tags__(self) -> Any:
        # Only scikit-learn calls this; nothing else imports it.
        from stepml.trained.tags import tags_of

        is_classifier, is_kmeans = (isinstance(self._model, each) for each in (Classifier, KMeans))
        return tags_of(
            "classifier" if is_classifier else "clusterer" if is_kmeans else "regressor",
            multi_class=isinstance(self._model, Multiclass),
            allow_nan=self._preparation.fills,
        )

    def _inertia(self, X: Any, sample_weight: Any) -> float:
        assert isinstance(self._model, KMeans)
        if sample_weight is not None:
            squares = np.square(self.transform(X), dtype=np.float64).min(axis=1)
            weights = scores.weights_of(sample_weight, len(squares))
            return float(squares @ weights)
        blocks = (block for block in self._preparation.blocks(X) if len(block))
        return sum(self._model.accumulate(self._w, block).inertia for block in blocks)
