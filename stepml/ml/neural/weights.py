"""Parameters of the user's own, matched with a network by the names of tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

import numpy as np

from stepml.job.errors import InvalidJobError
from stepml.ml.matrices import Floats
from stepml.ml.neural.layout import COUNTER, SCALE_ARRAYS, Array, NetworkLayout

Shape = tuple[int | None, ...]
"""Of a tensor; a size that is None may be any."""

_MOST_NAMED = 5  # tensors in a message
_MOST_CHARACTERS = 200  # of each, shapes included


def with_weights(
    layout: NetworkLayout, drawn: Floats, given: Mapping[str, Array], reset: Sequence[str] = ()
) -> Floats:
    """Return the vector of the tensors that are ``given``.

    Parameters
    ----------
    layout : NetworkLayout
    drawn : array of shape (n_parameters,)
        Has the tensors of ``reset``.
    given : mapping
        Tensors by name; see `chosen_tensors`.
    reset : sequence of str
        As of `chosen_tensors`.

    Raises
    ------
    InvalidJobError
        As of `chosen_tensors`.
    """
    return layout.vector({**layout.arrays(drawn), **chosen_tensors([layout], given, reset)})


def chosen_tensors(
    layouts: Sequence[NetworkLayout], given: Mapping[str, Array], reset: Sequence[str] = ()
) -> dict[str, Array]:
    """Return the tensors of a network that are ``given``, as float32.

    Parameters
    ----------
    layouts : sequence of NetworkLayout
        Of the network. While its number of outputs is unknown, those of some numbers: sizes in
        which they differ may be any.
    given : mapping
        Tensors by name. Counters of batches and the scale of another model's features are left
        out.
    reset : sequence of str
        Names of tensors, or of modules, of the network or of ``given``, that are left out.

    Raises
    ------
    InvalidJobError
        A tensor is missing, or unexpected, or has another shape or kind; or a name of ``reset``
        is no tensor.
    """
    expected = _shapes(layouts)
    known = {name: array for name, array in given.items() if not _is_left_out(name, expected)}
    _require_names(reset, dict.fromkeys([*expected, *known]))
    wanted = {name: shape for name, shape in expected.items() if not _is_of(name, reset)}
    known = {name: array for name, array in known.items() if not _is_of(name, reset)}
    _require_alike(wanted, known)
    with np.errstate(over="ignore"):
        known = {name: array.astype(np.float32) for name, array in known.items()}
    _require_finite(known)
    return known


def _shapes(layouts: Sequence[NetworkLayout]) -> dict[str, Shape]:
    """Return the shape of each tensor; sizes in which the layouts differ are None."""
    found = [{each.name: each.shape for each in (*one.trained, *one.rest)} for one in layouts]
    return {name: _common([one.get(name, ()) for one in found]) for name in found[0]}


def _common(shapes: Sequence[tuple[int, ...]]) -> Shape:
    return tuple(
        sizes[0] if len(set(sizes)) == 1 else None for sizes in zip_longest(*shapes, fillvalue=-1)
    )


def _suits(shape: tuple[int, ...], expected: Shape) -> bool:
    return len(shape) == len(expected) and all(
        each in (None, size) for each, size in zip(expected, shape, strict=True)
    )


def _text(shape: Shape) -> str:
    return str(tuple("any" if size is None else size for size in shape)).replace("'", "")


def _is_left_out(name: str, expected: Mapping[str, Shape]) -> bool:
    is_counter = name.rpartition(".")[2] == COUNTER
    return name not in expected and (is_counter or name in SCALE_ARRAYS)


def _is_of(name: str, modules: Sequence[str]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in modules)


def _require_names(reset: Sequence[str], names: Iterable[str]) -> None:
    for each in reset:
        if not any(_is_of(name, [each]) for name in names):
            raise InvalidJobError(
                f"model.reset: expected names of tensors or modules ({_some(names)}), got {each!r}"
            )


def _require_alike(expected: Mapping[str, Shape], given: Mapping[str, Array]) -> None:
    both = [name for name in expected if name in given]
    mistakes = {
        "missing": [name for name in expected if name not in given],
        "unexpected": [name for name in given if name not in expected],
        "of another shape": [
            f"{name} (expected {_text(expected[name])}, got {_text(given[name].shape)})"
            for name in both
            if not _suits(given[name].shape, expected[name])
        ],
        "no floats": [
            f"{name} ({given[name].dtype})" for name in both if given[name].dtype.kind != "f"
        ],
    }
    found = [f"{what}: {_some(names)}" for what, names in mistakes.items() if names]
    if found:
        raise InvalidJobError(
            f"model.weights: the tensors are not those of the network; {'; '.join(found)}. To draw "
            "some instead, such as a new last layer, name them in model.reset"
        )


def _require_finite(tensors: Mapping[str, Array]) -> None:
    wrong = [name for name, array in tensors.items() if not np.isfinite(array).all()]
    if wrong:
        raise InvalidJobError(
            f"model.weights: expected finite numbers of float32, got others in {_some(wrong)}"
        )


def _some(names: Iterable[str]) -> str:
    listed = [_shortened(name) for name in names]
    more = f" and {len(listed) - _MOST_NAMED} more" if len(listed) > _MOST_NAMED else ""
    return f"{', '.join(listed[:_MOST_NAMED])}{more}"


def _shortened(text: str) -> str:
    half = _MOST_CHARACTERS // 2
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:half]}…{text[-half:]}"
