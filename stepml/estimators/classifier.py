"""A classifier of scikit-learn that trains as a job."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets

from stepml.estimators.checks import checked_labels, checked_rows, checked_weights
from stepml.estimators.job_fields import Fields, Group, name_of
from stepml.estimators.labels import Labels
from stepml.estimators.models import (
    learns_several,
    of_classes,
    require_classifier,
    usual_classifier,
    with_penalty_by_weight,
)
from stepml.estimators.supervised import SupervisedEstimator
from stepml.ml.models import MODELS
from stepml.ml.models.base import WithProbabilities

if TYPE_CHECKING:
    from stepml.client import Client

Array = npt.NDArray[Any]


def _has_probabilities(classifier: Any) -> bool:
    if hasattr(classifier, "model_"):
        return hasattr(classifier.model_, "predict_proba")
    name = name_of(classifier.model)
    return name not in MODELS or issubclass(MODELS[name], WithProbabilities)


class StepMLClassifier(ClassifierMixin, SupervisedEstimator):
    """Classifier that trains as a job of StepML: on AWS, or on this machine.

    Parameters
    ----------
    model : str, mapping or model of StepML, optional
        Name or fields of a job's ``model``, such as ``"svm"`` or ``{"name": "neural", "network":
        "mlp"}``. None: logistic regression of two classes, softmax regression of more.
    algorithm : str, mapping or algorithm of StepML, optional
        None: chosen by the job.
    workers : int, optional
        Functions that train concurrently. None: 1 for up to 8 MB of rows, otherwise 4.
    channel : str
        Service through which the workers exchange.
    pattern : {"reduce", "reduce_scatter", "async"}
    epochs : int, optional
        The most epochs (``stop.max_epochs``). None: chosen.
    learning_rate, batch_size : number, optional
        Of the algorithm, which has to be given. None: chosen.
    l1, l2 : float, optional
        Factors of the penalties. None: as the model's default; see the page on jobs.
    class_weight : "balanced" or mapping of label to float, optional
        Weight of a row's loss by its label, 1 for others.
    standardise : bool, optional
        Whether features are scaled to mean 0 and variance 1. None: chosen. ``coef_`` refers to rows
        as given in any case.
    random_state : int, RandomState or None
        The seed of the job (``data.seed``). None: 0, so that every fit has the same result.
    job : mapping, optional
        All other fields of the job, such as ``{"stop": {"patience": 3}}``. Unless ``data`` has a
        ``validation_fraction`` or ``validation``, all rows are trained on, and losses and metrics
        of ``history_`` are those of training rows.
    code : str or path, optional
        The code that ``entry_point`` of the model or the algorithm names: a directory, a .zip or a
        .py file.
    client : Client, optional
        None: `stepml.Client` without arguments, so the local AWS if it runs.
    keep : bool
        Whether rows and results stay in the stack's bucket after the fit.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        Labels, ascending, of the type in ``y``.
    coef_, intercept_ : array of float64
        Of linear models, for rows as given; shapes as in scikit-learn.
    model_ : TrainedModel
    history_ : list of dict
        A row for each epoch: loss, metrics, seconds, cost.
    n_iter_ : int
        Epochs of the model.
    run_ : Run
        The job, with state and logs; its reports are deleted unless ``keep``. A loaded estimator
        has none.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> from stepml import StepMLClassifier
    >>> StepMLClassifier(workers=4).fit(X, y).score(X, y)  # doctest: +SKIP
    """

    _stem = "fit-classifier"

    def __init__(
        self,
        model: Group | None = None,
        *,
        algorithm: Group | None = None,
        workers: int | None = None,
        channel: str = "s3",
        pattern: str = "reduce",
        epochs: int | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        l1: float | None = None,
        l2: float | None = None,
        class_weight: Literal["balanced"] | Mapping[Any, float] | None = None,
        standardise: bool | None = None,
        random_state: Any = None,
        job: Mapping[str, Any] | None = None,
        code: str | PathLike[str] | None = None,
        client: Client | None = None,
        keep: bool = False,
    ) -> None:
        super().__init__(
            model,
            algorithm=algorithm,
            workers=workers,
            channel=channel,
            pattern=pattern,
            epochs=epochs,
            learning_rate=learning_rate,
            batch_size=batch_size,
            l1=l1,
            l2=l2,
            standardise=standardise,
            random_state=random_state,
            job=job,
            code=code,
            client=client,
            keep=keep,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a job on rows.

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_samples, n_features)
            Missing values (NaN) are filled in. A table may have words, booleans and times. A
            network also takes images of shape (n_samples, channels, height, width) or
            (n_samples, height, width).
        y : array-like of shape (n_samples,)
            Labels of at least two classes: text, booleans or integers.
        sample_weight : array-like of shape (n_samples,), optional
            Factor of each row's loss.

        Raises
        ------
        ValueError
            Rows, labels or parameters do not suit; `InvalidJobError` and `FitRefusedError` are
            such errors.
        RunFailedError
            The job failed.
        AccessError
            AWS cannot be reached or refuses.
        """
        require_classifier(self.model)
        X = checked_rows(self, X, reset=True)
        y = checked_labels(self, X, y, numbers=False)
        check_classification_targets(y)
        weights = checked_weights(sample_weight, len(y))
        labels = Labels.of(np.unique(y))
        self._require_classes(labels.classes if weights is None else np.unique(y[weights > 0]))
        algorithm = self._algorithm_fields()
        model = with_penalty_by_weight(self._fields(labels), algorithm, weights)
        self._train(X, labels.encoded(y), weights, model, algorithm)
        self.classes_: Array = labels.known(self.model_.classes_)
        return self

    def predict(self, X: Any) -> Array:
        """Return the label of each row, an array of shape (n_samples,)."""
        X = self._checked(X)
        learnt = self.model_.predict(X)
        labels: Array = self.classes_[np.searchsorted(self.model_.classes_, learnt)]
        return labels

    def decision_function(self, X: Any) -> Array:
        """Return the decision values of rows.

        They have shape (n_samples,), positive for ``classes_[1]``, if there are two classes,
        otherwise (n_samples, n_classes).
        """
        X = self._checked(X)
        return self.model_.decision_function(X)

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, an array of shape (n_samples, n_classes).

        Only logistic and softmax regression, and networks of classes, have it.
        """
        X = self._checked(X)
        return self.model_.predict_proba(X)

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithms of `predict_proba`."""
        X = self._checked(X)
        return self.model_.predict_log_proba(X)

    def _fields(self, labels: Labels) -> Fields:
        weights = self.class_weight
        if isinstance(weights, Mapping):
            weights = labels.named(weights)
        usual = usual_classifier(len(labels.classes))
        return of_classes(self._model_fields(usual, class_weight=weights))

    def _require_classes(self, classes: Array) -> None:
        name = type(self).__name__
        if len(classes) < 2:
            raise ValueError(f"{name} needs rows of at least two classes, got one class: {classes}")
        if len(classes) > 2 and not learns_several(self.model):
            raise ValueError(
                f"{name}: model {name_of(self.model)!r} distinguishes two classes. Only binary "
                f"classification is supported by it, y has {len(classes)} classes: set model to "
                f"{usual_classifier(len(classes))!r} or None"
            )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = learns_several(self.model)
        return tags
