"""A torch module whose tensors are views of one vector of parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from stepml.job.errors import InvalidNetworkError
from stepml.ml.matrices import Floats, Matrix, dense
from stepml.ml.neural.activations import largest_output
from stepml.ml.neural.layout import SCALE_ARRAYS, ChannelScale, NetworkLayout
from stepml.ml.neural.layout import Tensor as TensorFacts
from stepml.ml.neural.losses import Loss

_BLOCK_VALUES = 2**22  # inputs of a block that is evaluated at once: 16 MB
_MOST_ROWS = 512  # of it, because activations are larger than inputs
_BLOCK_BYTES = 2**29  # of its activations
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True, slots=True)
class _Normalisation:
    mean: torch.Tensor  # (n_channels, 1, 1)
    factor: torch.Tensor

    @classmethod
    def of(cls, channels: ChannelScale, n_dimensions: int) -> _Normalisation:
        shape = (-1, *(1,) * (n_dimensions - 1))
        deviation = torch.tensor(channels.deviation).reshape(shape)
        return cls(torch.tensor(channels.mean).reshape(shape), 1 / deviation)

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        return x.sub_(self.mean).mul_(self.factor)


class BoundNetwork:
    """A module, its loss, and the vector that has its parameters.

    Parameters
    ----------
    module : torch.nn.Module
    loss : callable
    input_shape : sequence of int
        Of one row.
    channels : ChannelScale, optional
        The normalisation of rows.
    transform : callable, optional
        Changes the rows of a batch in training.
    has_own_loss : bool
        The loss is none of the job spec.
    row_losses : callable, optional
        Returns the loss of each row; without it, rows cannot have weights.

    Raises
    ------
    InvalidNetworkError
        A parameter is not float32, or none is trained, or a name is taken; or a buffer has numbers
        that are not finite.
    """

    def __init__(
        self,
        module: nn.Module,
        loss: Loss,
        input_shape: Sequence[int],
        channels: ChannelScale | None = None,
        transform: Callable[[torch.Tensor], torch.Tensor] | None = None,
        *,
        has_own_loss: bool = False,
        row_losses: Loss | None = None,
    ) -> None:
        self.module = module
        self.has_own_loss = has_own_loss
        self._row_losses = row_losses
        self._transform = transform
        self._channels = _Normalisation.of(channels, len(input_shape)) if channels else None
        self._loss = loss
        self.input_shape = tuple(input_shape)
        named = dict(module.named_parameters())
        trained = {name: each for name, each in named.items() if each.requires_grad}
        rest: dict[str, torch.Tensor] = {
            name: each for name, each in named.items() if not each.requires_grad
        }
        rest |= dict(_kept_buffers(module))
        _require_usual(trained | rest)
        _require_finite(rest)
        if not trained:
            raise InvalidNetworkError("the network has no parameter that is trained")
        self.layout = NetworkLayout(tuple(_facts(trained)), tuple(_facts(rest)))
        self._trained, self._rest = list(trained.values()), list(rest.values())
        for each in module.modules():
            if isinstance(each, _BATCH_NORMS):
                each.register_forward_pre_hook(_spare_lone_values)
        self._evaluated_bytes: int | None = None  # of a row; once it is known
        self._w: Floats | None = None  # to which the trained parameters are bound
        self._statistics = _flat(self._rest)
        for tensor, place in zip(self._rest, _pieces(self._statistics, self._rest), strict=True):
            tensor.data = place

    @property
    def parameters(self) -> Floats:
        """A copy of the present parameters: at first, of those that the module was given with."""
        w: Floats = _flat([*self._trained, *self._rest]).numpy()
        return w

    def gradient(
        self,
        w: Floats,
        x: torch.Tensor,
        y: torch.Tensor,
        out: Floats,
        weights: torch.Tensor | None = None,
    ) -> float:
        """Do as `LossModel.gradient` does, on rows (n_samples, …) of the input's shape."""
        n = self.layout.n_trained
        self._bind(w)
        self.module.train()
        x = x if self._transform is None else self._transform(x)
        loss = self._loss_of(self.module(x), y, weights)
        self._add_gradients(loss, torch.from_numpy(out)[:n].zero_())
        np.subtract(w[n:], self._statistics.numpy(), out=out[n:])
        return loss.item()

    def output_blocks(self, w: Floats, X: Matrix, first: int = 0) -> Iterator[Floats]:
        """Yield the outputs of rows (n_samples, n_features) without any change of statistics.

        The blocks of rows depend on the network. ``first`` is the first row of one of them.
        """
        self._bind(w)
        self.module.eval()
        step = max(1, min(_MOST_ROWS, _BLOCK_VALUES // X.shape[1]))
        step = max(1, min(step, _BLOCK_BYTES // self._row_bytes(dense(X[:1]))))
        for start in range(first, len(X), step):
            yield self._outputs_of(dense(X[start : start + step]))

    def _outputs_of(self, X: npt.NDArray[Any]) -> Floats:
        with torch.inference_mode():
            outputs: Floats = self.module(self.rows(X)).numpy()
        return outputs

    def _row_bytes(self, X: npt.NDArray[Any]) -> int:
        """Return the activations of the one row in ``X`` that are in memory at once."""
        if self._evaluated_bytes is None:
            with torch.inference_mode(), largest_output(self.module) as largest:
                self.module(self.rows(X))
            self._evaluated_bytes = max(1, largest.at_once)
        return self._evaluated_bytes

    def rows(self, X: npt.NDArray[Any]) -> torch.Tensor:
        """Return rows (n_samples, n_features) in the input's shape, as a normalised copy."""
        x = torch.from_numpy(X.astype(np.float32)).reshape(-1, *self.input_shape)
        return x if self._channels is None else self._channels.apply(x)

    def loss(self, outputs: Floats, y: torch.Tensor, weights: torch.Tensor | None = None) -> float:
        """Return the mean loss of rows with these outputs, each times its weight if it has one."""
        if self.has_own_loss:  # which may change them in place
            outputs = outputs.copy()
        return self._loss_of(torch.from_numpy(outputs), y, weights).item()

    def _loss_of(
        self, outputs: torch.Tensor, y: torch.Tensor, weights: torch.Tensor | None
    ) -> torch.Tensor:
        if weights is None:
            return self._loss(outputs, y)
        if self._row_losses is None:
            raise InvalidNetworkError(
                "data.weight: expected none with a loss of the network's own, which is one number "
                "for all rows"
            )
        return (self._row_losses(outputs, y) * weights).mean()

    def _bind(self, w: Floats) -> None:
        """Let the module have the parameters ``w``; the trained ones without a copy."""
        n = self.layout.n_trained
        np.copyto(self._statistics.numpy(), w[n:])
        if self._w is w:
            return
        flat = torch.from_numpy(w if w.flags.writeable else w.copy())[:n]
        for tensor, place in zip(self._trained, _pieces(flat, self._trained), strict=True):
            tensor.data = place
        self._w = w

    def _add_gradients(self, loss: torch.Tensor, out: torch.Tensor) -> None:
        """Add the gradients to ``out`` as they come, so that no two are in memory elsewhere."""
        for tensor, place in zip(self._trained, _pieces(out, self._trained), strict=True):
            tensor.grad = place
        try:
            torch.autograd.backward(loss)
        finally:
            for tensor in self._trained:
                tensor.grad = None


def _spare_lone_values(layer: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
    """Let a layer use its running statistics where a batch has one value a channel.

    One value has no variance, which torch refuses. The layer trains again with the next batch.
    """
    x = given[0] if given else None
    has_statistics = getattr(layer, "running_mean", None) is not None
    if layer.training and has_statistics and x is not None and x.numel() == x.shape[1]:
        layer.eval()


def _flat(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the values of tensors in one new vector."""
    return torch.cat([torch.empty(0), *(each.detach().reshape(-1) for each in tensors)])


def _facts(tensors: Mapping[str, torch.Tensor]) -> Iterator[TensorFacts]:
    for name, tensor in tensors.items():
        yield TensorFacts(name, tuple(tensor.shape))


def _pieces(flat: torch.Tensor, like: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Yield consecutive parts of a vector, shaped as the tensors of ``like``."""
    start = 0
    for tensor in like:
        yield flat[start : start + tensor.numel()].view(tensor.shape)
        start += tensor.numel()


def _kept_buffers(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the buffers of floats that a module's state has; others are made with the module."""
    names = module.state_dict().keys()
    for name, each in module.named_buffers():
        if each.is_floating_point() and name in names:
            yield name, each


def _require_finite(tensors: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise InvalidNetworkError(
                f"buffer {name}: expected finite numbers, got others; if it is a constant, such as "
                "a mask, register it with persistent=False"
            )


def _require_usual(tensors: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        if name in SCALE_ARRAYS:
            raise InvalidNetworkError(
                f"parameter {name}: expected another name than {', '.join(SCALE_ARRAYS)}, which "
                "a model's file has for the preparation of rows"
            )
        if is_lazy(tensor):
            raise InvalidNetworkError(
                f"parameter {name}: expected a shape, got none, as in a lazy layer of torch; give "
                "the layer the number of its inputs, or call the network once in your function"
            )
        if tensor.dtype != torch.float32:
            raise InvalidNetworkError(f"parameter {name}: expected float32, got {tensor.dtype}")
        if tensor.device.type == "meta":
            raise InvalidNetworkError(
                f"parameter {name} has no memory; expected a function that makes new tensors in "
                "each call, on cpu"
            )
        if tensor.device.type != "cpu":
            raise InvalidNetworkError(f"parameter {name}: expected it on cpu, got {tensor.device}")
