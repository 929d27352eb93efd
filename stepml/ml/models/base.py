"""The interface of models to algorithms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from stepml.job.spec_base import Label
from stepml.ml.class_names import NUMBERS, ClassNames
from stepml.ml.matrices import Floats, Floats64, Matrix
from stepml.ml.models.label_unit import IN_UNITS_OF_DATA, LabelUnit
from stepml.ml.models.penalty import Penalty
from stepml.ml.neural.layout import ChannelScale, NetworkLayout

Array = npt.NDArray[Any]

__all__ = [
    "Array",
    "DataFacts",
    "Evaluation",
    "Floats",
    "LabelUnit",
    "LossModel",
    "Matrix",
    "Model",
    "Penalty",
]

Sample = Callable[[], Matrix]
"""Returns a sample of the training rows; it is loaded only if it is needed."""

WeightedSample = Callable[[], tuple[Matrix, Floats | None]]
"""Returns such a sample, and the weights of its rows, if they have any."""


@dataclass(frozen=True, slots=True)
class DataFacts:
    """The properties of a data set that decide on the shape of a model."""

    n_features: int
    labels: Sequence[float] | None = None  # distinct, ascending; None: more than 1,000
    label_counts: Sequence[int] | None = None  # rows of each label
    label_mean: float = 0.0
    mean_row: Floats | None = None  # (n_features,) of the features
    label_unit: LabelUnit = IN_UNITS_OF_DATA  # in which a regression trains
    network: NetworkLayout | None = None  # of a neural network, if it is known
    channels: ChannelScale | None = None  # of images
    code: Path | None = None  # the directory of the user's own network
    names: ClassNames = NUMBERS  # of labels that are codes
    label_weights: Sequence[float] | None = None  # of each label's rows, if rows have weights


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The quality of a model on some rows."""

    loss: float  # mean per row, by the weights if rows have any; without penalty
    metrics: dict[str, float] = field(default_factory=dict)  # by name: accuracy, auc, rmse, …

    def with_metric(self, name: str, value: float) -> Self:
        """Return the evaluation with one more metric."""
        return replace(self, metrics={**self.metrics, name: value})


class Model(ABC):
    """A model with all its parameters in one float32 vector ``w`` of shape (n_parameters,)."""

    n_features: int
    code: Path | None = None  # the directory of the job's own code, if there is any

    @classmethod
    @abstractmethod
    def from_spec(cls, spec: Any, facts: DataFacts) -> Model:
        """Return the model for a job.

        Parameters
        ----------
        spec : ModelSpec
            The class of `stepml.job.models` for this model.
        facts : DataFacts

        Raises
        ------
        BadLabelError
            The labels do not fit the model.
        """

    @classmethod
    @abstractmethod
    def from_card(cls, card: Mapping[str, Any]) -> Model:
        """Return a trained model from its card, which has ``n_features`` and `describe`'s items."""

    @abstractmethod
    def first_parameters(self, sample: WeightedSample, seed: int) -> Floats:
        """Return the parameters from which all ranks start.

        Parameters
        ----------
        sample : callable
            Returns training rows, and their weights.
        seed : int
            The same seed gives the same bits.
        """

    @property
    def loss_unit(self) -> float:
        """The factor by which losses in training are to be multiplied for those of the data."""
        return 1.0

    def constant_parameters(self, facts: DataFacts) -> Floats | None:
        """Return the parameters of the best model that ignores the features.

        None: there is none, or it is not known.
        """
        return None

    def constant_loss(self, facts: DataFacts, y: Array) -> float | None:
        """Return the mean loss of such a model on rows with targets ``y``.

        None: it is that of `constant_parameters`, or not known.
        """
        return None

    @property
    @abstractmethod
    def n_parameters(self) -> int: ...

    @property
    def network(self) -> NetworkLayout | None:
        """The layout of a neural network's parameters; None: the model is none."""
        return None

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of a row, (channels, height, width), if it is an image; otherwise empty."""
        return ()

    @abstractmethod
    def targets(self, labels: Floats) -> Array:
        """Return the targets of training, given ``labels`` (n_samples,) as in the data.

        Those of rows with weights are made of them by `stepml.ml.models.row_weights`.
        """

    @abstractmethod
    def evaluate(self, w: Floats, X: Matrix, y: Array) -> Evaluation:
        """Return loss and metrics on rows ``X`` with targets ``y``."""

    @abstractmethod
    def predict(self, w: Floats, X: Matrix) -> Array:
        """Return the predicted label of each row, (n_samples,), as in the data."""

    @abstractmethod
    def arrays(self, w: Floats) -> dict[str, Array]:
        """Return the parameters by their usual names, for the model artifact."""

    @abstractmethod
    def parameters(self, arrays: Mapping[str, Array]) -> Floats:
        """Return the parameter vector of these `arrays`."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return the other facts that predictions need, for the model artifact."""


@runtime_checkable
class WithProbabilities(Protocol):
    """A model that knows how probable each class is."""

    def probabilities(self, w: Floats, X: Matrix) -> Floats64:
        """Return the probability of each class, (n_samples, n_classes)."""


@runtime_checkable
class WithClasses(Protocol):
    """A model whose predictions are classes."""

    @property
    def classes(self) -> Sequence[float]:
        """The labels, ascending; codes if these are no numbers."""

    @property
    def class_labels(self) -> list[Label]:
        """The labels as in the data."""

    def confusion(self, w: Floats, X: Matrix, y: Array) -> npt.NDArray[np.int64]:
        """Return the rows of each class by their prediction, (n_classes, n_classes).

        Parameters as those of `Model.evaluate`.
        """


@dataclass(frozen=True, slots=True)
class Draws:
    """The names of random draws in one rank's epoch: their results depend on nothing else."""

    seed: int  # of the job's data
    epoch: int
    rank: int
    first_row: int  # position of the rank's first row among all training rows
    pass_number: int = 0  # of the passes over the rank's rows


class LossModel(Model):
    """A model that minimises a mean loss over rows plus a penalty."""

    penalty: Penalty

    @property
    def n_trained(self) -> int:
        """The number of parameters that steps along the gradient change: the first ones.

        The rest are statistics of the rows, such as running means, and have no gradient.
        """
        return self.n_parameters

    @abstractmethod
    def initial_parameters(self) -> Floats:
        """Return the parameters from which all ranks start; they depend on no data."""

    def first_parameters(self, sample: WeightedSample, seed: int) -> Floats:
        return self.initial_parameters()

    @abstractmethod
    def gradient(self, w: Floats, X: Matrix, y: Array, out: Floats) -> float:
        """Write the gradient of the mean loss, without penalty, to ``out``; return the mean loss.

        At a kink of the loss it is a subgradient. Behind the first `n_trained` numbers is the step
        of the statistics: their values before these rows less those after them.

        Parameters
        ----------
        w, out : array of shape (n_parameters,)
        X : matrix of shape (n_samples, n_features), at least one sample
        y : array of shape (n_samples, …), from `targets`
        """

    def batch_gradient(
        self, w: Floats, X: Matrix, y: Array, out: Floats, draws: Draws, batch: int, row: int
    ) -> float:
        """Do as `gradient` does, on the rows of a batch in training; a model may draw at random.

        Parameters
        ----------
        w, X, y, out
            As of `gradient`.
        draws : Draws
        batch : int
            The number of the batch in the rank's epoch.
        row : int
            The position of its first row in the rank's shard.
        """
        return self.gradient(w, X, y, out=out)

    @property
    def has_curvature(self) -> bool:
        """Whether `curvature` is known."""
        return False

    def curvature(self, X: Matrix, y: Array) -> Floats64 | None:
        """Return a bound of the diagonal of the mean loss' Hessian, of shape (n_parameters,).

        It holds for all parameters. None: the loss is not smooth, or no bound is known.
        """
        return None

    def smoothed(self, width: float) -> LossModel | None:
        """Return the model with a smooth loss, lower by at most half of ``width`` a row.

        None: the loss is smooth, or has no such approximation.
        """
        return None
