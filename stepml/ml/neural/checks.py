"""Checks of a network before it is trained: on random rows, with their gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from stepml.job.errors import InvalidNetworkError
from stepml.job.models import Neural
from stepml.ml.neural.activations import saved_tensors
from stepml.ml.neural.bound import BoundNetwork
from stepml.ml.neural.building import bound_network, parts_of
from stepml.ml.neural.layout import COUNTER, NetworkLayout
from stepml.ml.neural.losses import described
from stepml.ml.neural.own import blamed, own_function
from stepml.ml.neural.settings import let_draw, seeded
from stepml.ml.own.time_limit import time_limit

_MOST_S = 120.0  # of the user's code; the checks of StepML's networks take a few
_DRAWN = frozenset({"bernoulli_", "normal_", "uniform_"})  # functions of tensors
_ROWS = 2  # of a batch: statistics of one row do not exist


class CheckedNetwork(NamedTuple):
    """Facts about a network that passes the checks."""

    layout: NetworkLayout
    saved_row_bytes: int  # activations of a row in training


class _Undrawn(TorchFunctionMode):
    """Leaves tensors as they are: for those without memory, torch would load 800 modules."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func.__name__ in _DRAWN:
            return args[0] if args else given["tensor"]
        return func(*args, **given)


def check_network(
    spec: Neural,
    input_shape: Sequence[int],
    n_outputs: int,
    code: Path | None = None,
    *,
    outputs_are_known: bool = True,
    require_room: Callable[[int], None] = lambda n_parameters: None,
) -> CheckedNetwork:
    """Build a network, take a step with it, and return its layout and the memory of a row.

    Parameters
    ----------
    spec : Neural
    input_shape : sequence of int
        Of one row: (features,) or (channels, height, width).
    n_outputs : int
    code : Path, optional
        The directory of the user's own network.
    outputs_are_known : bool
        False: the data have not been read, and ``n_outputs`` is a guess.
    require_room : callable
        Raises `ModelTooLargeError` if a function has no room for so many parameters.

    Raises
    ------
    InvalidNetworkError
        The network cannot be built, or does not take such rows, or is another one each time, or
        takes minutes.
    ModelTooLargeError
        As of ``require_room``.
    """
    with _limited(spec, code):
        return _checked(spec, input_shape, n_outputs, code, outputs_are_known, require_room)


def _limited(spec: Neural, code: Path | None) -> AbstractContextManager[None]:
    return time_limit(_MOST_S, f"model.entry_point: {spec.entry_point}") if code else nullcontext()


def _checked(
    spec: Neural,
    input_shape: Sequence[int],
    n_outputs: int,
    code: Path | None,
    outputs_are_known: bool,
    require_room: Callable[[int], None],
) -> CheckedNetwork:
    _require_room_unbuilt(spec, input_shape, n_outputs, code, require_room)
    first, second = (
        bound_network(spec, input_shape, n_outputs, None, code, seed=0) for _ in range(2)
    )
    require_room(first.layout.n_parameters)
    _require_equal(first, second)
    _require_whole(first)
    what = "the network" if spec.entry_point is None else spec.entry_point
    rows = torch.randn(_ROWS, *input_shape, generator=torch.Generator().manual_seed(0))
    with blamed(code, what) if code else nullcontext(), _named_layers(first.module), seeded(0):
        outputs = first.module.eval()(rows[:1])
        _require_outputs(outputs, n_outputs if outputs_are_known else None)
        saved_bytes = _require_gradient(first, rows, _targets(spec, outputs.shape[1]))
    return CheckedNetwork(first.layout, -(-saved_bytes // _ROWS))


def layout_of(
    spec: Neural, input_shape: Sequence[int], n_outputs: int, code: Path | None
) -> NetworkLayout:
    """Build a network and return the layout of its parameters; errors as of `bound_network`."""
    with _limited(spec, code):
        return bound_network(spec, input_shape, n_outputs, None, code, seed=0).layout


def check_row_alone(network: BoundNetwork, spec: Neural, code: Path) -> None:
    """Take a step with one random row.

    Raises
    ------
    InvalidNetworkError
        The network needs more rows; the message has the line in the user's code.
    """
    row = torch.randn(1, *network.input_shape, generator=torch.Generator().manual_seed(0))
    w = network.parameters
    taken = blamed(code, f"{spec.entry_point}"), _named_layers(network.module), seeded(0)
    try:
        with _limited(spec, code), taken[0], taken[1], taken[2]:
            network.gradient(w, row, _targets(spec, 1)[:1], np.empty_like(w))
    except InvalidNetworkError as error:
        raise InvalidNetworkError(
            "algorithm.batch_size: some batch of a rank, or part of one, is one row, and the "
            f"network needs more: {error}"
        ) from error


@contextmanager
def _named_layers(module: nn.Module) -> Iterator[None]:
    """Add the innermost layer to the message of an error, whose line may be torch's own."""
    inside: list[str] = []
    hooks = []
    for name, each in module.named_modules():
        text = f"layer {name!r}, {type(each).__name__}({each.extra_repr()})"
        hooks.append(each.register_forward_pre_hook(partial(_enter, inside, text if name else "")))
        hooks.append(each.register_forward_hook(partial(_leave, inside)))
    try:
        yield
    except RuntimeError as error:
        if inside and inside[-1]:
            raise RuntimeError(f"{error}; in {inside[-1]}").with_traceback(
                error.__traceback__
            ) from error
        raise
    finally:
        for hook in hooks:
            hook.remove()


def _enter(inside: list[str], text: str, *_: object) -> None:
    inside.append(text)


def _leave(inside: list[str], *_: object) -> None:
    inside.pop()


def check_source(spec: Neural, code: Path | None) -> None:
    """Import the user's function; errors as of `own_function`."""
    with _limited(spec, code):
        _import_source(spec, code)


def _import_source(spec: Neural, code: Path | None) -> None:
    if code is not None and spec.entry_point is not None:
        own_function(code, spec.entry_point)


def _require_room_unbuilt(
    spec: Neural,
    input_shape: Sequence[int],
    n_outputs: int,
    code: Path | None,
    require_room: Callable[[int], None],
) -> None:
    """Count the parameters without their memory, if the network can be built so."""
    try:
        _import_source(spec, code)  # imported here, its modules may have tensors themselves
        with torch.device("meta"), _Undrawn(), seeded(0):
            module = parts_of(spec, input_shape, n_outputs, code).module
    except InvalidNetworkError:  # building it in earnest tells whether it is one
        return
    parameters = list(module.parameters())
    if any(is_lazy(each) for each in parameters):
        return
    n_parameters = sum(each.numel() for each in parameters)
    require_room(n_parameters)


def _require_equal(first: BoundNetwork, second: BoundNetwork) -> None:
    if first.module is second.module:
        raise InvalidNetworkError(
            "model.entry_point: the function returned one module twice; expected a new one in "
            "each call"
        )
    if first.layout != second.layout:
        raise InvalidNetworkError(
            "model.entry_point: two calls of the function returned networks of other shapes"
        )
    arrays = (each.layout.arrays(each.parameters) for each in (first, second))
    for (name, one), other in zip(next(arrays).items(), next(arrays).values(), strict=True):
        if not np.array_equal(one, other, equal_nan=True):
            raise InvalidNetworkError(
                f"model.entry_point: parameter {name} differs in two calls with the same seed; "
                "draw random numbers with torch, numpy.random or random, without a seed of their "
                "own"
            )


def _require_whole(network: BoundNetwork) -> None:
    """Refuse a state with values that the vector, and so the trained model, would lack."""
    state = network.module.state_dict(keep_vars=True)
    names = {each.name for each in (*network.layout.trained, *network.layout.rest)}
    kept = {id(state.get(name)) for name in names}  # one may have several names
    for name, each in state.items():
        if id(each) not in kept and name.rpartition(".")[2] != COUNTER:
            raise InvalidNetworkError(
                f"buffer {name}: expected float32, got {described(each)}, which a trained model "
                "would lack; if it is a constant, such as an index or a mask, register it with "
                "persistent=False"
            )


def _require_outputs(outputs: object, n_outputs: int | None) -> None:
    expected = f"a float32 tensor of shape (1, {'n_outputs' if n_outputs is None else n_outputs})"
    shape = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else ()
    is_fit = len(shape) == 2 and shape[0] == 1 and shape[1] == (n_outputs or max(shape[1], 1))
    if not is_fit or getattr(outputs, "dtype", None) != torch.float32:
        raise InvalidNetworkError(
            f"the network's output for one row: expected {expected}, got {described(outputs)}"
        )


def _targets(spec: Neural, n_outputs: int) -> torch.Tensor:
    """Return targets of `_ROWS` rows, in the types of `Model.targets`."""
    if spec.loss == "cross_entropy":
        return torch.arange(_ROWS, dtype=torch.int32) % n_outputs
    return torch.arange(_ROWS, dtype=torch.float32)


def _require_gradient(network: BoundNetwork, rows: torch.Tensor, targets: torch.Tensor) -> int:
    """Return the bytes that the rows' gradient needs beside parameters and gradient."""
    w = network.parameters
    out, again = np.zeros_like(w), np.zeros_like(w)
    for each in (out, again):
        let_draw(0)
        with saved_tensors(w) as saved:
            loss = network.gradient(w, rows.clone(), targets, each)
    if not math.isfinite(loss) or not np.isfinite(out[: network.layout.n_trained]).all():
        raise InvalidNetworkError(
            f"loss and gradient of {_ROWS} random rows: expected finite numbers, got a loss of "
            f"{loss:g}"
        )
    if not np.array_equal(out, again):
        raise InvalidNetworkError(
            "model.entry_point: two steps from the same parameters with the same seed differ. "
            "Functions hand over float32 parameters and buffers alone, so a network may count "
            "nothing itself (batch normalisation: give it a momentum); draw random numbers with "
            "torch, numpy.random or random, without a seed of their own"
        )
    return saved.n_bytes
