"""Losses of networks: means over the rows of a batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from stepml.job.errors import InvalidNetworkError

Loss = Callable[[Tensor, Tensor], Tensor]
"""Returns the mean loss of outputs (n_samples, n_outputs), given targets (n_samples,)."""


def loss_named(name: str, label_smoothing: float = 0.0, *, of_rows: bool = False) -> Loss:
    """Return a loss of ``model.loss`` in the job spec; ``of_rows``: that of each row."""
    reduction = "none" if of_rows else "mean"
    if name == "cross_entropy":
        return partial(_cross_entropy, label_smoothing=label_smoothing, reduction=reduction)
    losses = {"binary_cross_entropy": _binary, "mean_squared_error": _squares}
    return partial(losses[name], reduction=reduction)


def of_targets(loss: Loss, name: str) -> Loss:
    """Return a loss that takes the targets of ``model.loss`` in the type that is usual in torch.

    These are int64 for indices of classes, otherwise float32; a copy, which the loss may change.
    A result that is no number is an `InvalidNetworkError`.
    """
    kind = torch.int64 if name == "cross_entropy" else torch.float32

    def checked(outputs: Tensor, targets: Tensor) -> Tensor:
        found: object = loss(outputs, targets.to(kind, copy=True))
        if not isinstance(found, Tensor) or found.numel() != 1:
            raise InvalidNetworkError(
                f"the network's own loss: expected a tensor with one number, got {described(found)}"
            )
        return found

    return checked


def described(found: object) -> str:
    """Return type and shape of something that should be a tensor, for messages."""
    if not isinstance(found, Tensor):
        return type(found).__name__
    return f"{found.dtype} of shape {tuple(found.shape)}".removeprefix("torch.")


def _cross_entropy(
    outputs: Tensor, targets: Tensor, label_smoothing: float, reduction: str
) -> Tensor:
    return functional.cross_entropy(
        outputs, targets.long(), label_smoothing=label_smoothing, reduction=reduction
    )


def _binary(outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
    return functional.binary_cross_entropy_with_logits(
        outputs[:, 0], targets.to(torch.float32), reduction=reduction
    )


def _squares(outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
    return functional.mse_loss(outputs[:, 0], targets, reduction=reduction)
