"""Trained models as torch modules that take rows as in the data."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from stepml.job.errors import InvalidNetworkError
from stepml.ml.data.scaling import Scale
from stepml.ml.matrices import Floats
from stepml.ml.neural.layout import Array, ChannelScale


class Preparation(nn.Module):
    """The changes of rows before a network: missing values, scale, shape, normalisation.

    Parameters
    ----------
    input_shape : sequence of int
        Of one row, as the network takes it.
    scale : Scale, optional
        That of each feature. Without it, or where it fills in nothing, outputs of NaN are NaN.
    channels : ChannelScale, optional
        The normalisation of images.
    """

    fill: torch.Tensor | None
    mean: torch.Tensor | None
    deviation: torch.Tensor | None
    channel_mean: torch.Tensor | None
    channel_deviation: torch.Tensor | None

    def __init__(
        self,
        input_shape: Sequence[int],
        scale: Scale | None = None,
        channels: ChannelScale | None = None,
    ) -> None:
        super().__init__()
        self.input_shape = tuple(input_shape)
        # Fine features are centred in float64, see `stepml.ml.data.remainders`.
        has_fine = scale is not None and len(scale.fine) > 0
        self.dtype = torch.float64 if has_fine else torch.float32
        for name in ("fill", "mean", "deviation"):
            self._set(name, None)
        if scale is not None:
            self._set_scale(scale)
        shape = (-1, *(1,) * (len(self.input_shape) - 1))
        for name in ("mean", "deviation"):
            values = None if channels is None else torch.tensor(getattr(channels, name))
            self._set(f"channel_{name}", None if values is None else values.reshape(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return rows (n_samples, …) as the network takes them."""
        x = x.flatten(1).to(self.dtype)
        if self.fill is not None:
            x = torch.where(torch.isnan(x), self.fill, x)
        if self.mean is not None and self.deviation is not None:
            x = (x - self.mean) / self.deviation
        x = x.to(torch.float32).reshape(-1, *self.input_shape)
        if self.channel_mean is not None and self.channel_deviation is not None:
            x = (x - self.channel_mean) / self.channel_deviation
        return x

    def _set_scale(self, scale: Scale) -> None:
        fill, mean = torch.tensor(scale.fill), torch.tensor(scale.mean)
        if len(scale.fine):
            fill, mean, fine = fill.double(), mean.double(), torch.tensor(scale.fine)
            fill[fine], mean[fine] = torch.tensor(scale.fine_fills), torch.tensor(scale.fine_mean)
        if not torch.isnan(fill).all():
            self._set("fill", fill)
        if scale.changes:
            self._set("mean", mean)
            self._set("deviation", torch.tensor(scale.scale))

    def _set(self, name: str, values: torch.Tensor | None) -> None:
        self.register_buffer(name, values)


class InUnitOfData(nn.Module):
    """Returns numbers in the unit of the labels in the data."""

    def __init__(self, size: float, origin: float) -> None:
        super().__init__()
        self.size, self.origin = size, origin

    def forward(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return outputs (n_samples, 1) as in the data."""
        return outputs * self.size + self.origin


def deployed(
    preparation: Preparation, network: nn.Module, unit: tuple[float, float] | None = None
) -> nn.Sequential:
    """Return a module in evaluation mode with the parts ``preparation`` and ``network``.

    ``unit`` is size and origin of the unit of a network that predicts numbers.
    """
    parts = OrderedDict[str, nn.Module](preparation=preparation, network=network)
    if unit is not None:
        parts["unit"] = InUnitOfData(*unit)
    return nn.Sequential(parts).eval()


def linear(coefficients: Floats, intercepts: Floats) -> nn.Linear:
    """Return a linear function of prepared rows.

    Parameters
    ----------
    coefficients : array of shape (n_outputs, n_features)
    intercepts : array of shape (n_outputs,)
    """
    n_outputs, n_features = coefficients.shape
    module = nn.Linear(n_features, n_outputs)
    fill(module, {"weight": coefficients, "bias": intercepts})
    return module


def fill(module: nn.Module, arrays: Mapping[str, Array]) -> None:
    """Copy arrays to a module's tensors of the same names.

    Raises
    ------
    InvalidNetworkError
        The module has no such tensor, or one of another shape.
    """
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    with torch.no_grad():
        for name, array in arrays.items():
            found = tensors.get(name)
            if found is None or tuple(found.shape) != array.shape:
                shape = "none" if found is None else tuple(found.shape)
                raise InvalidNetworkError(
                    f"tensor {name}: expected the trained network's shape {array.shape}, got "
                    f"{shape}: the code is not that with which the job trained"
                )
            found.copy_(torch.from_numpy(array.copy()))
