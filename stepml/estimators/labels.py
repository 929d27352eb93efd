"""Labels of any type ↔ labels that a job stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stepml.job.spec_base import label_text
from stepml.ml.class_names import MOST_EXACT, label_name
from stepml.ml.data.dialect import Dialect
from stepml.ml.data.formats.text.spelling import missing_words

Array = npt.NDArray[Any]

_MISSING = frozenset(missing_words(Dialect()))


@dataclass(frozen=True)
class Labels:
    """The classes of a data set, and the labels that a job stores for them.

    Attributes
    ----------
    classes : array of shape (n_classes,)
        Ascending, of the type of the labels.
    stored : array of shape (n_classes,)
        Ascending as well. These are the labels themselves if a job gives them back unchanged;
        otherwise, their positions.
    """

    classes: Array
    stored: Array

    @classmethod
    def of(cls, classes: Array) -> Labels:
        """Return the labels of ``classes``, which are unique and ascending."""
        return cls(classes, _stored(classes))

    def encoded(self, y: Array) -> Array:
        """Return the label that is stored for each row."""
        rows: Array = self.stored[np.searchsorted(self.classes, y)]
        return rows

    def named(self, weights: Mapping[Any, float]) -> dict[str, float]:
        """Return the weights of classes by the text of the stored labels.

        Raises
        ------
        ValueError
            A label is none of the classes.
        """
        texts = {
            each: label_text(stored)
            for each, stored in zip(self.classes.tolist(), self.stored.tolist(), strict=True)
        }
        unknown = [each for each in weights if each not in texts]
        if unknown:
            raise ValueError(
                f"class_weight: expected labels among {list(texts)[:20]}, got {unknown[0]!r}"
            )
        return {texts[label]: float(weight) for label, weight in weights.items()}

    def known(self, learnt: Array) -> Array:
        """Return the classes that a model has learnt, given the stored labels."""
        found: Array = self.classes[np.searchsorted(self.stored, learnt)]
        return found


def _stored(classes: Array) -> Array:
    if classes.dtype.kind == "b":
        return classes
    if classes.dtype.kind in "iuf" and _are_exact(classes):
        return classes.astype(np.int64)
    if all(isinstance(each, str) and _is_plain(each) for each in classes.tolist()):
        return classes.astype(np.str_)
    return np.arange(len(classes))


def _are_exact(numbers: Array) -> bool:
    values = numbers.astype(np.float64)
    return bool((values == np.floor(values)).all() and np.abs(values).max() <= MOST_EXACT)


def _is_plain(text: str) -> bool:
    """Return whether a job takes ``text`` for nothing else: no number, boolean or missing value."""
    if any("\ud800" <= each <= "\udfff" for each in text):  # no UTF-8, so no report has it
        return False
    try:
        float(text)
    except ValueError:
        is_word = label_name(text, "boolean") is None and text not in _MISSING
        return is_word and text.strip() == text and "\0" not in text
    return False
