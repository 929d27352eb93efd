"""Linear models as torch modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepml.ml.data import Scale
from stepml.ml.matrices import Floats
from stepml.ml.neural.library import require_torch

if TYPE_CHECKING:
    from torch.nn import Module


def linear_module(coefficients: Floats, intercepts: Floats, scale: Scale | None) -> Module:
    """Return a module that takes rows as in the data; see `TrainedModel.module`.

    Parameters
    ----------
    coefficients : array of shape (n_outputs, n_features)
        Of prepared rows.
    intercepts : array of shape (n_outputs,)
    scale : Scale, optional
    """
    require_torch("a module")
    from stepml.ml.neural.deployed import Preparation, deployed, linear

    preparation = Preparation(coefficients.shape[1:], scale)
    return deployed(preparation, linear(coefficients, intercepts))
