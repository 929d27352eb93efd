"""Neural networks on torch, which is imported only where a network is needed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from stepml.job import models as specs
from stepml.job.conversion import converted
from stepml.job.errors import InvalidNetworkError
from stepml.ml.matrices import dense
from stepml.ml.models.base import (
    Array,
    DataFacts,
    Draws,
    Evaluation,
    Floats,
    LossModel,
    Matrix,
    Penalty,
    WeightedSample,
)
from stepml.ml.models.confusion import Counts, Totals
from stepml.ml.models.row_weights import parts_of
from stepml.ml.models.tallies import Sums
from stepml.ml.neural.layout import ChannelScale, NetworkLayout
from stepml.ml.neural.library import require_torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from stepml.ml.data.scaling import Scale
    from stepml.ml.neural.bound import BoundNetwork

_SEEDS = 2**63  # torch takes as many
_DRAWING = Lock()  # torch has one generator for all threads


class NeuralNetwork(LossModel):
    """A torch module with all its tensors in one vector.

    Parameters
    ----------
    spec : Neural
    n_features : int
    n_outputs : int
        Of each row.
    channels : ChannelScale, optional
        The normalisation of images; without it, rows are taken as they are.
    layout : NetworkLayout, optional
        That of the vector; without it, torch has to build the network.
    code : Path, optional
        The directory of the user's own network.
    """

    def __init__(
        self,
        spec: specs.Neural,
        n_features: int,
        n_outputs: int,
        *,
        channels: ChannelScale | None = None,
        layout: NetworkLayout | None = None,
        code: Path | None = None,
    ) -> None:
        self.spec = spec
        self.n_features = n_features
        self.n_outputs = n_outputs
        self.input_shape = _input_shape(spec, n_features)
        self._channels = channels
        self._layout = layout
        self.code = code

    @cached_property
    def penalty(self) -> Penalty:  # type: ignore[override]
        return Penalty(n_coefficients=self.network.n_trained)

    @property
    def network(self) -> NetworkLayout:
        return self._layout or self.bound.layout

    @property
    def image_shape(self) -> tuple[int, ...]:
        return self.input_shape if len(self.input_shape) == 3 else ()

    @property
    def n_parameters(self) -> int:
        return self.network.n_parameters

    @property
    def n_trained(self) -> int:
        return self.network.n_trained

    @cached_property
    def bound(self) -> BoundNetwork:
        """The network, on torch."""
        bound = self._built(seed=0)
        if self._layout not in (None, bound.layout):
            raise InvalidNetworkError(
                f"code: {self.spec.entry_point!r} makes a network with other parameters than the "
                "trained one"
            )
        return bound

    def first_parameters(self, sample: WeightedSample, seed: int) -> Floats:
        return self._built(seed).parameters

    def initial_parameters(self) -> Floats:
        return self._built(seed=0).parameters

    def gradient(self, w: Floats, X: Matrix, y: Array, out: Floats) -> float:
        bound = self.bound
        with self._blaming():
            targets, weights = _tensors(y)
            return bound.gradient(w, bound.rows(dense(X)), targets, out, weights)

    def batch_gradient(
        self, w: Floats, X: Matrix, y: Array, out: Floats, draws: Draws, batch: int, row: int
    ) -> float:
        path = [draws.seed, draws.epoch, draws.rank, batch]
        seed = np.random.SeedSequence(path).generate_state(1, np.uint64)
        x = self._changed(self.bound.rows(dense(X)), draws, row)
        with _DRAWING, self._blaming():
            self._let_draw(int(seed[0]) % _SEEDS)
            targets, weights = _tensors(y)
            return self.bound.gradient(w, x, targets, out, weights)

    def _let_draw(self, seed: int) -> None:
        import torch

        from stepml.ml.neural.settings import let_draw

        if self.code is None:  # only code of users draws from other libraries
            torch.default_generator.manual_seed(seed)
        else:
            let_draw(seed)

    def _changed(self, x: Tensor, draws: Draws, row: int) -> Tensor:
        """Return the rows of a batch with the changes of training."""
        if self.spec.augment is None:
            return x
        from stepml.ml.neural.augmentation import augmented

        path = (draws.seed, draws.epoch, draws.pass_number)
        return augmented(x, self.spec.augment, path, draws.first_row + row)

    def outputs(self, w: Floats, X: Matrix) -> Floats:
        """Return the outputs of rows, (n_samples, n_outputs)."""
        nothing = np.zeros((0, self.n_outputs), np.float32)
        return np.concatenate([nothing, *self.output_blocks(w, X)])

    def output_blocks(self, w: Floats, X: Matrix, first: int = 0) -> Iterator[Floats]:
        """Yield the outputs of consecutive rows in blocks; ``first`` is the first row of one."""
        if first == len(X):  # networks of users cannot tell a shape of no rows
            return
        bound = self.bound
        with self._blaming():
            yield from bound.output_blocks(w, X, first)

    def loss(self, outputs: Floats, y: Array) -> float:
        """Return the sum of weighted losses of rows with these outputs, over their number.

        0 without rows.
        """
        bound = self.bound
        with self._blaming():
            return bound.loss(outputs, *_tensors(y)) if len(y) else 0.0

    def tally(self, w: Floats, X: Matrix, y: Array) -> Sums:
        """Return sums over rows, which can be added; the parameters are those of `evaluate`."""
        return self.tally_outputs(self.outputs(w, X), y)

    @abstractmethod
    def tally_outputs(self, outputs: Floats, y: Array) -> Sums:
        """Return the `tally` of rows with these `outputs`."""

    @abstractmethod
    def judged(self, sums: Sums) -> Evaluation:
        """Return the quality of a model by its `tally`."""

    def counts(self, sums: Sums) -> Counts | None:
        """Return the rows of each class by their prediction, by a `tally` that has them."""
        return None

    def totals(self, sums: Sums) -> Totals | None:
        """Return the rows of each class, by a `tally` that has them."""
        return None

    def evaluate(self, w: Floats, X: Matrix, y: Array) -> Evaluation:
        return self.judged(self.tally(w, X, y))

    def arrays(self, w: Floats) -> dict[str, Array]:
        return self.network.arrays(w)

    def parameters(self, arrays: Mapping[str, Array]) -> Floats:
        return self.network.vector(arrays)

    def module(self, w: Floats, scale: Scale | None) -> Module:
        """Return a module of its own that takes rows as in the data.

        Parameters
        ----------
        w : array of shape (n_parameters,)
        scale : Scale, optional
            That of the features.
        """
        require_torch("a network")
        from stepml.ml.neural.building import trained_module
        from stepml.ml.neural.deployed import Preparation, deployed

        preparation = Preparation(self.input_shape, scale, self._channels)
        network = trained_module(
            self.spec, self.input_shape, self.n_outputs, self.code, self.arrays(w)
        )
        return deployed(preparation, network, self._unit_of_outputs)

    @property
    def _unit_of_outputs(self) -> tuple[float, float] | None:
        """Size and origin of the unit of outputs that are labels."""
        return None

    def describe(self) -> dict[str, Any]:
        return {
            "channels": msgspec.to_builtins(self._channels),
            "network": msgspec.to_builtins(self.network),
        }

    def _blaming(self) -> AbstractContextManager[None]:
        """Return a context in which an error of the user's code is named with its line."""
        if self.code is None or self.spec.entry_point is None:
            return nullcontext()
        from stepml.ml.neural.own import blamed

        return blamed(self.code, self.spec.entry_point)

    def _built(self, seed: int) -> BoundNetwork:
        require_torch("a network")
        from stepml.ml.neural.building import bound_network

        with _DRAWING:
            return bound_network(
                self.spec, self.input_shape, self.n_outputs, self._channels, self.code, seed
            )


def _tensors(y: Array) -> tuple[Tensor, Tensor | None]:
    """Return targets and weights of rows."""
    import torch

    targets, weights = parts_of(y)
    return torch.from_numpy(targets), None if weights is None else torch.from_numpy(weights)


def spec_of(card: Mapping[str, Any]) -> specs.Neural:
    """Return the model of the job that wrote an artifact's ``card``."""
    return converted(card["job"]["model"], specs.Neural)


def shape_from(facts: DataFacts) -> dict[str, Any]:
    """Return the keyword arguments of a network for a job."""
    return {"channels": facts.channels, "layout": facts.network, "code": facts.code}


def shape_of(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of a network that an artifact's ``card`` describes."""
    channels = card["channels"]
    return {
        "channels": None if channels is None else converted(channels, ChannelScale),
        "layout": converted(card["network"], NetworkLayout),
    }


def _input_shape(spec: specs.Neural, n_features: int) -> tuple[int, ...]:
    """Return the shape of one row as the network takes it: images have channels."""
    shape = spec.input_shape or (n_features,)
    return (1, *shape) if len(shape) == 2 else tuple(shape)
