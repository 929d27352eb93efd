"""The classes of labels that are no numbers: text, booleans, or integers that float32 lacks.

Models know such a class by its code, 0.0, 1.0, …; people know it by its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from stepml.job.spec_base import Label, label_shown, label_text

# Integers up to this are exact in float64, which JSON and NumPy share.
MOST_EXACT = 2**53

_MOST_SHOWN = 20
_BOOLEANS = {"true": "True", "false": "False", "1": "True", "0": "False"}
_INTEGER = re.compile(r"[+-]?\d+(\.0*)?")


def label_name(text: str, kind: str) -> str | None:
    """Return the name of a class as the data have it in ``text``; None: it is not of this kind."""
    label = text.strip()
    if kind == "boolean":
        return _BOOLEANS.get(label.lower())
    if kind == "integer":
        is_integer = _INTEGER.fullmatch(label) is not None
        number = int(label.partition(".")[0]) if is_integer else MOST_EXACT + 1
        return str(number) if abs(number) <= MOST_EXACT else None
    return label or None


def not_of_kind(kind: str) -> str:
    """Return words for a label that has no `label_name`."""
    if kind == "boolean":
        return "neither true nor false"
    return f"not an integer within ±{MOST_EXACT:,}"


def in_order(names: Iterable[str], kind: str) -> tuple[str, ...]:
    """Return the names of classes in the order of what they name."""
    return tuple(sorted(names, key=int) if kind == "integer" else sorted(names))


@dataclass(frozen=True)
class ClassNames:
    """The names of classes whose labels are codes; without names, labels are numbers."""

    kind: str = "number"  # as `Layout.label_kind`
    names: tuple[str, ...] = ()  # by code, ascending

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> Self:
        """Return the names in the card of an artifact; earlier versions know numbers alone."""
        return cls(card.get("label_kind", "number"), tuple(card.get("class_names", ())))

    def card(self) -> dict[str, Any]:
        """Return the items of a card from which `of_card` makes the names again."""
        return {"label_kind": self.kind, "class_names": list(self.names)} if self.names else {}

    def label(self, code: float) -> Label:
        """Return the label that ``code`` stands for: text, a boolean or a number."""
        if not self.names:
            return as_stored(code)
        name = self.names[int(code)]
        if self.kind == "boolean":
            return name == "True"
        return int(name) if self.kind == "integer" else name

    def labels(self, codes: Iterable[float]) -> list[Label]:
        """Return the label of each code."""
        return [self.label(code) for code in codes]

    def learnt(self, label: Label) -> float:
        """Return the code of a label that a model has learnt, or raise `ValueError`."""
        code = self.code(label)
        if code is None:
            raise ValueError(f"the label {label!r} is none of {self.names}")
        return code

    def all_learnt(self, labels: Iterable[Label]) -> list[float]:
        """Return `learnt` of each label."""
        return [self.learnt(each) for each in labels]

    def text(self, code: float) -> str:
        """Return the label for messages."""
        return label_shown(self.label(code))

    def shown(self, codes: Iterable[float]) -> str:
        """Return the first labels, for a message."""
        texts = [self.text(code) for code in codes]
        return ", ".join(texts[:_MOST_SHOWN]) + (", …" if len(texts) > _MOST_SHOWN else "")

    def code(self, label: Label) -> float | None:
        """Return the code of a label as a job or a person writes it, or None if it is unknown."""
        if not self.names:
            return _number(label)
        name = label_name(label_text(label), self.kind)
        return None if name is None else self._codes.get(name)

    def array(self, codes: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the labels of ``codes``, as text, booleans or integers; numbers as they are.

        For NaN, the result is any label.
        """
        if not self.names:
            return codes
        places = np.nan_to_num(codes).astype(np.intp)
        labels: npt.NDArray[Any] = self.values[places]
        return labels

    @cached_property
    def values(self) -> npt.NDArray[Any]:
        """The label of each code, an array of str, bool or int64."""
        return np.array([self.label(code) for code in range(len(self.names))])

    @cached_property
    def _codes(self) -> dict[str, float]:
        return {name: float(code) for code, name in enumerate(self.names)}


NUMBERS = ClassNames()


def as_stored(label: float) -> float:
    """Return the shortest number whose float32, as data sets store it, equals that of ``label``."""
    return float(str(np.float32(label)))


def _number(label: Label) -> float | None:
    try:
        return float(label)
    except ValueError:
        return None
