"""Bases of models of the user's own.

::

    class Huber(stepml.OwnLinearModel):
        convex = True
        most_curvature = 1.0

        def __init__(self, delta=1.35):
            self.delta = delta

        def losses(self, z, y):
            error = z - y
            slopes = np.clip(error, -self.delta, self.delta)
            return slopes * (error - slopes / 2), slopes
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import prod
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

Shapes = Mapping[str, tuple[int, ...]]
"""The shape of each part of the parameters, by its name in the trained model."""


class OwnModel(ABC):
    """A model by its loss and gradient.

    All parameters are one vector ``w``. Rows ``X`` are float32 of shape (n_samples, n_features),
    prepared as the job says (filled in, standardised). Labels ``y`` are float32 numbers, or int32
    indices of classes, of shape (n_samples,). None of them may be changed. Results may be of any
    real type; StepML stores float32. The same arguments always give the same bits.

    Attributes
    ----------
    learns : str
        The labels: "numbers" or "classes"; the same as ``model.learns`` in the job.
    convex, smooth : bool
        Properties of the loss; the same as in the job.
    n_features : int
        Set by StepML after ``__init__``, as is the next one.
    n_classes : int
        0 if the labels are numbers.
    """

    learns: ClassVar[Literal["numbers", "classes"]] = "numbers"
    convex: ClassVar[bool] = False
    smooth: ClassVar[bool] = True

    n_features: int = 0
    n_classes: int = 0

    @abstractmethod
    def shapes(self) -> Shapes:
        """Return the shapes of the parts of the parameters, in their order in ``w``."""

    @abstractmethod
    def loss_and_gradient(self, w: Array, X: Array, y: Array) -> tuple[float, Array]:
        """Return the mean loss of rows, without a penalty, and its gradient, shaped as ``w``.

        There is at least one row.
        """

    @abstractmethod
    def outputs(self, w: Array, X: Array) -> Array:
        """Return the prediction of each row.

        Returns
        -------
        array
            Of numbers (n_samples,); of classes a score for each, (n_samples, n_classes), of which
            the largest is that of the predicted class.
        """

    def loss(self, w: Array, X: Array, y: Array) -> float:
        """Return the mean loss of rows without its gradient, if that is faster."""
        return self.loss_and_gradient(w, X, y)[0]

    def initial(self, rng: np.random.Generator) -> Array:
        """Return the first parameters; default: 0. Draw random numbers from ``rng`` alone."""
        return np.zeros(self.n_parameters, np.float32)

    @property
    def n_penalised(self) -> int:
        """The number of parameters, the first ones, that ``model.l1`` and ``model.l2`` penalise."""
        return self.n_parameters

    @property
    def n_parameters(self) -> int:
        """The length of ``w``."""
        return sum(prod(shape) for shape in self.shapes().values())

    def parts(self, w: Array) -> dict[str, Array]:
        """Return views of the parts of ``w``, or of a gradient, by name."""
        found, start = {}, 0
        for name, shape in self.shapes().items():
            found[name] = w[start : start + prod(shape)].reshape(shape)
            start += prod(shape)
        return found


class OwnLinearModel(ABC):
    """A linear model by the loss of a row, given its decision values.

    These are ``z = X @ coefficients + intercept``: one a row if labels are numbers, otherwise one
    for each class, of which the largest is that of the predicted class.

    Attributes
    ----------
    learns, convex, smooth, n_features, n_classes
        As of `OwnModel`.
    most_curvature : float, optional
        The largest second derivative of a row's loss by a decision value. With it, smooth losses
        start at the minimum of a sample, and ADMM knows how far it has to go.
    """

    learns: ClassVar[Literal["numbers", "classes"]] = "numbers"
    convex: ClassVar[bool] = False
    smooth: ClassVar[bool] = True
    most_curvature: float | None = None

    n_features: int = 0
    n_classes: int = 0

    @abstractmethod
    def losses(self, z: Array, y: Array) -> tuple[Array, Array]:
        """Return the loss of each row, and its derivatives by the decision values.

        Parameters
        ----------
        z : array of shape (n_samples,), or (n_samples, n_classes)
            The decision values.
        y : array of shape (n_samples,)
            Numbers, or indices of classes.

        Returns
        -------
        losses : array of shape (n_samples,)
        slopes : array of the shape of ``z``
        """

    def predictions(self, z: Array) -> Array:
        """Return the predicted numbers of rows, (n_samples,); default: the decision values."""
        return z


Own = OwnModel | OwnLinearModel
