"""The memory of activations: what a forward pass saves for the gradient, and what it needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn

from stepml.ml.matrices import Floats

_AT_ONCE = 4  # tensors of the largest size: input and output of a layer, a shortcut, a kernel's own


@dataclass(slots=True)
class LargestOutput:
    """The largest output of a layer so far."""

    n_bytes: int = 0

    @property
    def at_once(self) -> int:
        """Bytes that a forward pass without gradient needs at once."""
        return _AT_ONCE * self.n_bytes


@contextmanager
def largest_output(module: nn.Module) -> Iterator[LargestOutput]:
    """Observe the outputs of all layers in the block."""
    largest = LargestOutput()

    def note(layer: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor):
            largest.n_bytes = max(largest.n_bytes, output.nbytes)

    hooks = [each.register_forward_hook(note) for each in module.modules()]
    try:
        yield largest
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(slots=True)
class SavedTensors:
    """The memory that a forward pass has saved so far."""

    bytes_at: dict[int, int] = field(default_factory=dict)  # by address: views share it

    @property
    def n_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(self.bytes_at.values())


@contextmanager
def saved_tensors(parameters: Floats) -> Iterator[SavedTensors]:
    """Observe the tensors that are saved in the block, but for the ``parameters`` themselves."""
    saved = SavedTensors()

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.layout is torch.strided:  # others have no single memory
            storage = tensor.untyped_storage()
            if storage.data_ptr() != parameters.ctypes.data:
                saved.bytes_at[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield saved
