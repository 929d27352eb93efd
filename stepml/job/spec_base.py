"""The common parts of all groups of a job spec."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from stepml.job.errors import InvalidJobError


class SpecGroup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the groups of the spec: immutable, and unknown fields are refused."""


def tag(choice: SpecGroup | type[SpecGroup]) -> str:
    """Return the name of a model or an algorithm in the spec."""
    return str(choice.__struct_config__.tag)


def require_choice(field: str, value: str, where: str, choices: tuple[str, ...]) -> None:
    """Raise `InvalidJobError` if ``value`` is not one of the ``choices`` with ``where``."""
    if value not in choices:
        raise InvalidJobError(f"{field}: with {where} expected {listed(choices)}, got {value!r}")


def listed(choices: tuple[str, ...]) -> str:
    """Return ``choices`` for a message: "a, b or c"."""
    return " or ".join(filter(None, [", ".join(choices[:-1]), choices[-1]]))


def label_text(label: float) -> str:
    """Return ``label`` with all its digits, and whole numbers without a fraction."""
    number = float(label)
    return str(int(number)) if number.is_integer() and abs(number) < 1e16 else repr(number)


def parse_labels(
    texts: Iterable[str],
    as_label: Callable[[str], float],
    error: Callable[[str], Exception] = InvalidJobError,
) -> dict[float, str]:
    """Return the names of labels in ``model.class_weight``, by label.

    Parameters
    ----------
    texts : iterable of str
    as_label : callable
        Parses one text or raises an error.
    error : callable
        Makes the error for two texts that name the same label.
    """
    names: dict[float, str] = {}
    for text in texts:
        label = as_label(text)
        if label in names:
            raise error(
                f"model.class_weight: label {label_text(label)} appears twice: "
                f"{names[label]!r} and {text!r}"
            )
        names[label] = text
    return names
