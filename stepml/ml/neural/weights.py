"""Parameters of the user's own, matched with a network by the names of tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from stepml.job.errors import InvalidJobError
from stepml.ml.matrices import Floats
from stepml.ml.neural.layout import SCALE_ARRAYS, Array, NetworkLayout

_MOST_NAMED = 5  # tensors in a message
_COUNTER = "num_batches_tracked"  # of batch normalisation, which does not use it here


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
        Tensors by name. Counters of batches and the scale of another model's features are left
        out.
    reset : sequence of str
        Names of tensors, or of modules, of the network or of ``given``.

    Raises
    ------
    InvalidJobError
        A tensor is missing, or unexpected, or has another shape or kind; or a name of ``reset``
        is no tensor.
    """
    expected = layout.arrays(drawn)
    known = {name: array for name, array in given.items() if not _is_left_out(name, expected)}
    _require_names(reset, dict.fromkeys([*expected, *known]))
    wanted = {name: array for name, array in expected.items() if not _is_of(name, reset)}
    known = {name: array for name, array in known.items() if not _is_of(name, reset)}
    _require_alike(wanted, known)
    with np.errstate(over="ignore"):
        known = {name: array.astype(np.float32) for name, array in known.items()}
    tensors = {**expected, **known}
    _require_finite(tensors)
    return layout.vector(tensors)


def _is_left_out(name: str, expected: Mapping[str, Array]) -> bool:
    is_counter = name.rpartition(".")[2] == _COUNTER
    return name not in expected and (is_counter or name in SCALE_ARRAYS)


def _is_of(name: str, modules: Sequence[str]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in modules)


def _require_names(reset: Sequence[str], names: Iterable[str]) -> None:
    for each in reset:
        if not any(_is_of(name, [each]) for name in names):
            raise InvalidJobError(
                f"model.reset: expected names of tensors or modules ({_some(names)}), got {each!r}"
            )


def _require_alike(expected: Mapping[str, Array], given: Mapping[str, Array]) -> None:
    both = [name for name in expected if name in given]
    mistakes = {
        "missing": [name for name in expected if name not in given],
        "unexpected": [name for name in given if name not in expected],
        "of another shape": [
            f"{name} (expected {expected[name].shape}, got {given[name].shape})"
            for name in both
            if expected[name].shape != given[name].shape
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
    listed = list(names)
    more = f" and {len(listed) - _MOST_NAMED} more" if len(listed) > _MOST_NAMED else ""
    return f"{', '.join(listed[:_MOST_NAMED])}{more}"
