"""The common parts of all groups of a job spec."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar, TypeVar

import msgspec

from stepml.job.errors import InvalidJobError

_T = TypeVar("_T")

Label = str | bool | float
"""A label as in the data: text, a boolean or a number."""


class SpecGroup(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    repr_omit_defaults=True,
):
    """Base of the groups of the spec: immutable, and unknown fields are refused.

    Attributes
    ----------
    open_fields : tuple of str
        Fields whose null means that StepML chooses; the plan of a job has none of them null.
    """

    open_fields: ClassVar[tuple[str, ...]] = ()


def settled(value: _T | None) -> _T:
    """Return the value of an open field, which the job gives or which was chosen for it."""
    if value is None:
        raise ValueError("an open field of the job is used before its value is chosen")
    return value


def open_fields_of(group: SpecGroup) -> Iterator[str]:
    """Yield the names of the open fields that are null in ``group``."""
    return (name for name in group.open_fields if getattr(group, name) is None)


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


def label_text(label: Label) -> str:
    """Return ``label`` with all its digits, and whole numbers without a fraction."""
    if isinstance(label, str | int):  # which bool is, too
        return str(label)
    number = float(label)
    return str(int(number)) if number.is_integer() and abs(number) < 1e16 else repr(number)


def label_shown(label: Label) -> str:
    """Return ``label`` for a list in a message: text with commas or quotes is quoted."""
    text = label_text(label)
    return repr(text) if isinstance(label, str) and set(text) & set(",;:\"'") else text


def parse_labels(
    texts: Iterable[str],
    as_label: Callable[[str], Label],
    error: Callable[[str], Exception] = InvalidJobError,
) -> dict[Label, str]:
    """Return the names of labels in ``model.class_weight``, by label.

    Parameters
    ----------
    texts : iterable of str
    as_label : callable
        Parses one text or raises an error.
    error : callable
        Makes the error for two texts that name the same label.
    """
    names: dict[Label, str] = {}
    for text in texts:
        label = as_label(text)
        if label in names:
            raise error(
                f"model.class_weight: label {label_text(label)} appears twice: "
                f"{names[label]!r} and {text!r}"
            )
        names[label] = text
    return names
