"""A network that a function of the user's returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from stepml.job.errors import InvalidNetworkError
from stepml.ml.neural.losses import Loss, described
from stepml.ml.neural.settings import seeded
from stepml.ml.own.blame import blamed as blamed_code
from stepml.ml.own.code import imported_function

Transform = Callable[[torch.Tensor], torch.Tensor]
"""Returns rows of a batch, changed at random: (n_samples, …) as the module takes them."""

_RETURNED = "a torch.nn.Module, (module, loss) or (module, loss, transform)"


class OwnNetwork(NamedTuple):
    """The parts of a network; the loss is None for that of the job."""

    module: nn.Module
    loss: Loss | None = None
    transform: Transform | None = None  # of rows in training


def own_network(
    code: Path,
    entry_point: str,
    options: Mapping[str, Any],
    input_shape: Sequence[int],
    n_outputs: int,
) -> OwnNetwork:
    """Call the user's function.

    Parameters
    ----------
    code : Path
        The directory of its package.
    entry_point : str
        ``package.module:function``.
    options : mapping
        Its keyword arguments. In addition it gets ``input_shape`` and ``n_outputs`` if it has such
        parameters.
    input_shape : sequence of int
        Of one row: (features,) or (channels, height, width).
    n_outputs : int
        Of one row.

    Raises
    ------
    InvalidNetworkError
        The function cannot be imported, fails, or returns something else; the message has the
        line in the user's code.
    """
    function = own_function(code, entry_point)
    with blamed(code, entry_point):
        given = {"input_shape": tuple(input_shape), "n_outputs": n_outputs, **options}
        wanted = {
            name: each for name, each in given.items() if name in options or _has(function, name)
        }
        returned = function(**wanted)
    return _parts(returned, entry_point)


def own_function(code: Path, entry_point: str) -> Callable[..., Any]:
    """Import the user's function.

    Random numbers that its modules draw follow from a seed, which all functions share.

    Raises
    ------
    InvalidNetworkError
        There is no such function, or a module fails.
    """
    with blamed(code, entry_point), seeded(0):
        return imported_function(code, entry_point)


def blamed(code: Path, what: str) -> AbstractContextManager[None]:
    """Return a context in which an error of the user's code is named with its line."""
    return blamed_code(code, what, error=InvalidNetworkError, libraries="torch, NumPy")


def _has(function: Callable[..., Any], name: str) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:  # a function of an extension tells nothing
        return True
    takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    return takes_all or name in parameters


def _parts(returned: object, entry_point: str) -> OwnNetwork:
    parts = returned if isinstance(returned, tuple) else (returned,)
    is_whole = 1 <= len(parts) <= len(OwnNetwork._fields) and isinstance(parts[0], nn.Module)
    if not is_whole or not all(each is None or callable(each) for each in parts[1:]):
        got = ", ".join(type(each).__name__ for each in parts)
        raise InvalidNetworkError(
            f"model.entry_point: {entry_point}: expected {_RETURNED}, got "
            f"{f'({got})' if isinstance(returned, tuple) else got}"
        )
    network = OwnNetwork(*parts)
    transform = network.transform
    return network if transform is None else network._replace(transform=_checked(transform))


def _checked(transform: Transform) -> Transform:
    """Return a transform whose result is an `InvalidNetworkError` if it is no batch."""

    def changed(x: torch.Tensor) -> torch.Tensor:
        found: object = transform(x)
        is_batch = isinstance(found, torch.Tensor) and found.shape[:1] == x.shape[:1]
        if not is_batch or getattr(found, "dtype", None) != torch.float32:
            raise InvalidNetworkError(
                f"the network's transform: expected a float32 tensor of {len(x)} rows, got "
                f"{described(found)}"
            )
        assert isinstance(found, torch.Tensor)
        return found

    return changed
