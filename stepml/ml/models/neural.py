"""Neural networks on torch, which is imported only where a network is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from stepml.job import models as specs
from stepml.job.spec_base import tag
from stepml.ml.matrices import CsrMatrix, Floats64
from stepml.ml.models.base import (
    Array,
    DataFacts,
    Draws,
    Evaluation,
    Floats,
    LabelUnit,
    LossModel,
    Matrix,
    Penalty,
    Sample,
)
from stepml.ml.models.classes import classes_of, indices, shares_of
from stepml.ml.models.confusion import Counts, count_classes
from stepml.ml.models.tallies import (
    Sums,
    quality_of_classes,
    quality_of_numbers,
    tally_classes,
    tally_numbers,
)
from stepml.ml.neural.layout import ChannelScale, NetworkLayout

if TYPE_CHECKING:
    from stepml.ml.neural.bound import BoundNetwork

_OF_NUMBERS = "mean_squared_error"
_SEEDS = 2**63  # torch takes as many
_DRAWING = Lock()  # torch has one generator for all threads


class NeuralNetwork(LossModel):
    """A torch module with all its tensors in one vector.

    Parameters
    ----------
    spec : Neural
    n_features : int
    classes : sequence of float
        The labels, ascending; empty if they are numbers.
    unit : LabelUnit, optional
        In which numbers are trained.
    channels : ChannelScale, optional
        The normalisation of images; without it, rows are taken as they are.
    layout : NetworkLayout, optional
        That of the vector; without it, torch has to build the network.
    """

    def __init__(
        self,
        spec: specs.Neural,
        n_features: int,
        classes: Sequence[float],
        *,
        unit: LabelUnit | None = None,
        channels: ChannelScale | None = None,
        layout: NetworkLayout | None = None,
    ) -> None:
        self.spec = spec
        self.n_features = n_features
        self.classes = tuple(classes)
        self.input_shape = _input_shape(spec, n_features)
        self.n_outputs = len(classes) if spec.loss == "cross_entropy" else 1
        self._labels = np.array(self.classes, np.float32)
        self._unit = unit or LabelUnit()
        self._channels = channels
        self._layout = layout
        self.penalty = Penalty(n_coefficients=self.network.n_trained)

    @classmethod
    def from_spec(cls, spec: specs.Neural, facts: DataFacts) -> NeuralNetwork:
        classes: tuple[float, ...] = ()
        if spec.loss != _OF_NUMBERS:
            classes = classes_of(facts.labels, tag(spec))
        return cls(
            spec,
            facts.n_features,
            classes,
            unit=facts.label_unit,
            channels=facts.channels,
            layout=facts.network,
        )

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> NeuralNetwork:
        return cls(
            msgspec.convert(card["job"]["model"], specs.Neural),
            card["n_features"],
            card["classes"],
            unit=LabelUnit(**card["label_unit"]),
            channels=msgspec.convert(card["channels"], ChannelScale | None),
            layout=msgspec.convert(card["network"], NetworkLayout),
        )

    @property
    def network(self) -> NetworkLayout:
        return self._layout or self.bound.layout

    @property
    def n_parameters(self) -> int:
        return self.network.n_parameters

    @property
    def n_trained(self) -> int:
        return self.network.n_trained

    @property
    def loss_unit(self) -> float:
        return self._unit.size**2

    @cached_property
    def bound(self) -> BoundNetwork:
        """The network, on torch."""
        return self._built(seed=0)

    def first_parameters(self, sample: Sample, seed: int) -> Floats:
        return self._built(seed).first_parameters

    def initial_parameters(self) -> Floats:
        return self.bound.first_parameters

    def constant_loss(self, facts: DataFacts, y: Array) -> float | None:
        if not self.classes:
            mean = self._unit.scaled(np.array([facts.label_mean], np.float32))
            return float(np.mean(np.square(y - mean, dtype=np.float64))) * self.loss_unit
        shares = shares_of(facts, None)
        if shares is None or not shares.all():
            return None
        return -float(np.mean(np.log(shares)[y]))

    def targets(self, labels: Floats) -> Array:
        if not self.classes:
            return self._unit.scaled(labels)
        return indices(labels, self._labels)

    def gradient(self, w: Floats, X: Matrix, y: Array, out: Floats) -> float:
        import torch

        bound = self.bound
        return bound.gradient(w, bound.rows(_dense(X)), torch.from_numpy(y), out)

    def batch_gradient(
        self, w: Floats, X: Matrix, y: Array, out: Floats, draws: Draws, batch: int, row: int
    ) -> float:
        import torch

        path = [draws.seed, draws.epoch, draws.rank, batch]
        seed = np.random.SeedSequence(path).generate_state(1, np.uint64)
        with _DRAWING:
            torch.default_generator.manual_seed(int(seed[0]) % _SEEDS)
            return self.gradient(w, X, y, out)

    def tally(self, w: Floats, X: Matrix, y: Array) -> Sums:
        """Return sums over rows, whose parameters are those of `evaluate`; they can be added."""
        outputs = self.bound.outputs(w, _dense(X))
        loss = self.bound.loss(outputs, y)
        if not self.classes:
            as_in_data = self._unit.as_in_data
            return tally_numbers(loss * self.loss_unit, as_in_data(outputs[:, 0]), as_in_data(y))
        return tally_classes(loss, self._of_classes(outputs), y, len(self.classes))

    def judged(self, sums: Sums) -> Evaluation:
        """Return the quality of a model by its `tally`."""
        return (
            quality_of_classes(sums, len(self.classes))
            if self.classes
            else quality_of_numbers(sums)
        )

    def evaluate(self, w: Floats, X: Matrix, y: Array) -> Evaluation:
        return self.judged(self.tally(w, X, y))

    def confusion(self, w: Floats, X: Matrix, y: Array) -> Counts:
        """Return the rows of each class by their prediction; errors as of `WithClasses`."""
        return count_classes(y, self._predicted(w, X), len(self.classes))

    def predict(self, w: Floats, X: Matrix) -> Array:
        if self.classes:
            return self._labels[self._predicted(w, X)]
        return self._unit.as_in_data(self.bound.outputs(w, _dense(X))[:, 0])

    def decision(self, w: Floats, X: Matrix) -> Floats:
        """Return the outputs of rows, (n_samples, n_outputs)."""
        return self.bound.outputs(w, _dense(X))

    def probabilities(self, w: Floats, X: Matrix) -> Floats64:
        """Return the probability of each class, (n_samples, n_classes)."""
        z = self._of_classes(self.decision(w, X)).astype(np.float64)
        z -= z.max(axis=1, keepdims=True)
        np.exp(z, out=z)
        z /= z.sum(axis=1, keepdims=True)
        return z

    def arrays(self, w: Floats) -> dict[str, Array]:
        return self.network.arrays(w)

    def parameters(self, arrays: Mapping[str, Array]) -> Floats:
        return self.network.vector(arrays)

    def describe(self) -> dict[str, Any]:
        return {
            "classes": list(self.classes),
            "label_unit": msgspec.to_builtins(self._unit),
            "channels": msgspec.to_builtins(self._channels),
            "network": msgspec.to_builtins(self.network),
        }

    def _predicted(self, w: Floats, X: Matrix) -> Array:
        predicted: Array = self._of_classes(self.decision(w, X)).argmax(axis=1)
        return predicted

    def _of_classes(self, outputs: Floats) -> Floats:
        """Return an output for each class: one output is that of the second against 0."""
        if outputs.shape[1] == len(self.classes):
            return outputs
        return np.concatenate([np.zeros_like(outputs), outputs], axis=1)

    def _built(self, seed: int) -> BoundNetwork:
        import torch

        from stepml.ml.neural.bound import BoundNetwork
        from stepml.ml.neural.losses import loss_named
        from stepml.ml.neural.networks import build_network

        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            module = build_network(self.spec.built_in, self.input_shape, self.n_outputs)
        loss = loss_named(self.spec.loss, self.spec.label_smoothing)
        return BoundNetwork(module, loss, self.input_shape, self._channels)


def _input_shape(spec: specs.Neural, n_features: int) -> tuple[int, ...]:
    """Return the shape of one row as the network takes it: images have channels."""
    shape = spec.input_shape or (n_features,)
    return (1, *shape) if len(shape) == 2 else tuple(shape)


def _dense(X: Matrix) -> Array:
    if not isinstance(X, CsrMatrix):
        return X
    rows = np.zeros(X.shape, np.float32)
    rows[np.repeat(np.arange(len(X)), X.counts), X.columns] = X.values[X.pairs]
    return rows
