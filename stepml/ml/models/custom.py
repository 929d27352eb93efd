"""Models of the user's own, as those of StepML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from stepml.job.conversion import converted
from stepml.job.own_code import CustomModel
from stepml.job.spec_base import Label
from stepml.ml.class_names import NUMBERS, ClassNames
from stepml.ml.matrices import CsrMatrix, dense
from stepml.ml.models.base import (
    Array,
    DataFacts,
    Evaluation,
    Floats,
    LossModel,
    Matrix,
    Model,
    Penalty,
    WeightedSample,
)
from stepml.ml.models.classes import classes_of, indices
from stepml.ml.models.confusion import Counts, count_classes
from stepml.ml.models.custom_linear import CustomLinearClasses, CustomLinearNumbers
from stepml.ml.models.metrics import multiclass_metrics, regression_metrics
from stepml.ml.own.calls import first_vector, numbers_like, pair, scalar
from stepml.ml.own.loading import OwnClass, frozen
from stepml.ml.own.models import Own, OwnLinearModel, OwnModel, Shapes

FIELD = "model.entry_point"
LINEAR, OTHER = "linear", "other"  # kinds, in cards

_BLOCK_ROWS, _BLOCK_VALUES = 2**14, 2**22  # of rows that the code sees at once


class CustomNumbers(LossModel):
    """A model that predicts numbers; or the model of a job or card, of whichever kind.

    Parameters
    ----------
    spec : CustomModel
    n_features : int
    shapes : mapping, optional
        Those of the parameters, if they are known without the code.
    """

    n_classes = 0

    def __init__(self, spec: CustomModel, n_features: int, shapes: Shapes | None = None) -> None:
        self.spec = spec
        self.n_features = n_features
        self._shapes = shapes

    @classmethod
    def from_spec(cls, spec: CustomModel, facts: DataFacts) -> Model:
        linear = facts.code is not None and isinstance(
            OwnClass(FIELD, spec.entry_point, spec.options, facts.code).built(*Own.__args__),
            OwnLinearModel,
        )
        if not spec.has_classes:
            return (CustomLinearNumbers if linear else CustomNumbers)(spec, facts.n_features)
        classes = classes_of(facts, spec.entry_point)
        kind = CustomLinearClasses if linear else CustomClasses
        return kind(spec, facts.n_features, classes, names=facts.names)

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Model:
        spec, n_features = converted(card["job"]["model"], CustomModel), card["n_features"]
        linear = card["kind"] == LINEAR
        shapes = {} if linear else {name: tuple(shape) for name, shape in card["shapes"]}
        if not spec.has_classes:
            if linear:
                return CustomLinearNumbers(spec, n_features)
            return CustomNumbers(spec, n_features, shapes)
        names = ClassNames.of_card(card)
        classes = names.all_learnt(card["classes"])
        if linear:
            return CustomLinearClasses(spec, n_features, classes, names=names)
        return CustomClasses(spec, n_features, classes, names=names, shapes=shapes)

    @property
    def own_class(self) -> OwnClass:
        """The class in the code."""
        return OwnClass(FIELD, self.spec.entry_point, self.spec.options, self.code)

    @cached_property
    def own(self) -> OwnModel:
        """The object of the class.

        Raises
        ------
        InvalidCodeError
            The code is unknown, or fails.
        """
        own: OwnModel = self.own_class.built(OwnModel)  # type: ignore[type-abstract]
        own.n_features, own.n_classes = self.n_features, self.n_classes
        return own

    @cached_property
    def shapes(self) -> Shapes:
        """The shapes of the parameters, by name."""
        if self._shapes is not None:
            return self._shapes
        with self.own_class.blamed():
            return {name: tuple(map(int, shape)) for name, shape in self.own.shapes().items()}

    def require_same_shapes(self) -> None:
        """Raise `InvalidCodeError` if the code has parameters of other shapes than the card."""
        with self.own_class.blamed():
            found = {name: tuple(map(int, shape)) for name, shape in self.own.shapes().items()}
        if found != self.shapes:
            raise self.own_class.error(
                f"expected the parameters of the trained model, {self.shapes}, got {found}",
                self.own.shapes,
            )

    @cached_property
    def penalty(self) -> Penalty:  # type: ignore[override]
        with self.own_class.blamed():
            return Penalty(self.spec.l1, self.spec.l2_factor, self.own.n_penalised)

    @property
    def n_parameters(self) -> int:
        return sum(prod(shape) for shape in self.shapes.values())

    def first_parameters(self, sample: WeightedSample, seed: int) -> Floats:
        rng = np.random.Generator(np.random.PCG64(seed))
        with self.own_class.blamed():
            found = self.own.initial(rng)
        return first_vector(self.own_class, self.own.initial, found, self.n_parameters)

    def initial_parameters(self) -> Floats:
        nothing = np.zeros((0, self.n_features), np.float32)
        return self.first_parameters(lambda: (nothing, None), seed=0)

    def gradient(self, w: Floats, X: Matrix, y: Array, out: Floats) -> float:
        total, parts = 0.0, [*self._blocks(X)]
        if len(parts) == 1:
            return self._gradient(w, dense(X), y, out)
        sums, part = np.zeros(len(out), np.float64), np.empty_like(out)
        for rows in parts:
            share = len(y[rows]) / len(y)
            total += share * self._gradient(w, dense(X[rows]), y[rows], part)
            sums += share * part
        out[:] = sums
        return total

    def _gradient(self, w: Floats, X: Array, y: Array, out: Floats) -> float:
        function = self.own.loss_and_gradient
        with self.own_class.blamed():
            found = function(frozen(w), frozen(X), frozen(y))
        loss, gradient = pair(self.own_class, function, found, "(loss, gradient)")
        out[:] = numbers_like(self.own_class, function, gradient, w.shape, "the gradient")
        return scalar(self.own_class, function, loss, "the loss")

    def loss(self, w: Floats, X: Array, y: Array) -> float:
        """Return the mean loss of dense rows."""
        with self.own_class.blamed():
            found = self.own.loss(frozen(w), frozen(X), frozen(y))
        return scalar(self.own_class, self.own.loss, found, "the loss")

    def outputs(self, w: Floats, X: Matrix) -> Floats:
        """Return the outputs of rows: (n_samples,), or (n_samples, n_classes)."""
        shape = (self.n_classes,) if self.n_classes else ()
        parts = [np.zeros((0, *shape), np.float32)]
        for rows in self._blocks(X):
            block = dense(X[rows])
            with self.own_class.blamed():
                found = self.own.outputs(frozen(w), frozen(block))
            parts.append(
                numbers_like(
                    self.own_class, self.own.outputs, found, (len(block), *shape), "the outputs"
                )
            )
        return np.concatenate(parts)

    def evaluate(self, w: Floats, X: Matrix, y: Array) -> Evaluation:
        loss = 0.0
        for rows in self._blocks(X):
            loss += self.loss(w, dense(X[rows]), y[rows]) * len(y[rows])
        return Evaluation(loss / len(y), self._metrics(self.outputs(w, X), y))

    def targets(self, labels: Floats) -> Array:
        return labels

    def predict(self, w: Floats, X: Matrix) -> Array:
        return self.outputs(w, X)

    def arrays(self, w: Floats) -> dict[str, Array]:
        found, start = {}, 0
        for name, shape in self.shapes.items():
            found[name] = w[start : start + prod(shape)].reshape(shape)
            start += prod(shape)
        return found

    def parameters(self, arrays: Mapping[str, Array]) -> Floats:
        parts = [np.ravel(arrays[name]) for name in self.shapes]
        return np.concatenate([np.zeros(0, np.float32), *parts], dtype=np.float32)

    def describe(self) -> dict[str, Any]:
        # A list, as the order of the parts is that of the vector.
        return {"kind": OTHER, "shapes": [[name, [*shape]] for name, shape in self.shapes.items()]}

    def _metrics(self, outputs: Floats, y: Array) -> dict[str, float]:
        return regression_metrics(outputs, y)

    def _blocks(self, X: Matrix) -> Iterator[slice]:
        size = _BLOCK_ROWS
        if isinstance(X, CsrMatrix):
            size = max(1, min(size, _BLOCK_VALUES // self.n_features))
        return (slice(start, start + size) for start in range(0, len(X), size))


class CustomClasses(CustomNumbers):
    """A model with a score for each class.

    Parameters
    ----------
    spec : CustomModel
    n_features : int
    classes : sequence of float
        The labels, ascending.
    names : ClassNames, optional
        Of labels that are codes.
    shapes : mapping, optional
        As of `CustomNumbers`.
    """

    def __init__(
        self,
        spec: CustomModel,
        n_features: int,
        classes: Sequence[float],
        *,
        names: ClassNames = NUMBERS,
        shapes: Shapes | None = None,
    ) -> None:
        super().__init__(spec, n_features, shapes)
        self.names = names
        self.classes = tuple(classes)
        self.n_classes = len(classes)
        self._labels = np.array(self.classes, np.float32)

    @property
    def class_labels(self) -> list[Label]:
        """`classes` as in the data."""
        return self.names.labels(self.classes)

    def targets(self, labels: Floats) -> Array:
        return indices(labels, self._labels)

    def decision(self, w: Floats, X: Matrix) -> Floats:
        """Return the score of each class, (n_samples, n_classes)."""
        return self.outputs(w, X)

    def predict(self, w: Floats, X: Matrix) -> Array:
        predicted: Array = self._labels[self.outputs(w, X).argmax(axis=1)]
        return predicted

    def confusion(self, w: Floats, X: Matrix, y: Array) -> Counts:
        """Return the rows of each class by their prediction, as of `WithClasses`."""
        return count_classes(y, self.outputs(w, X).argmax(axis=1), self.n_classes)

    def describe(self) -> dict[str, Any]:
        return {"classes": self.class_labels, **self.names.card(), **super().describe()}

    def _metrics(self, outputs: Floats, y: Array) -> dict[str, float]:
        return multiclass_metrics(y, outputs.argmax(axis=1), self.n_classes)
