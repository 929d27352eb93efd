"""Labels of rows that are no numbers, as people pass them → the names of classes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stepml.job.spec_base import Label, label_text
from stepml.ml.class_names import ClassNames, label_name, not_of_kind
from stepml.trained.numbers import Array

_TYPES = {"text": np.str_, "boolean": np.bool_, "integer": np.int64}


def class_labels(y: Any, n_rows: int, names: ClassNames) -> Array:
    """Return a label for each row, an array of the type of ``names.values``.

    Labels that training did not have stay what they are.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or (n_rows, 1)
        Text, booleans (or 0 and 1), or integers.
    n_rows : int
    names : ClassNames
        Has names.

    Raises
    ------
    ValueError
        A label is missing, or not of the kind of ``names``.
    """
    values = np.asarray(y)
    if values.shape not in ((n_rows,), (n_rows, 1)):
        raise ValueError(f"expected y of shape ({n_rows},), got {values.shape}")
    labels = values.reshape(n_rows).tolist()
    known: dict[Any, str] = {}
    for row, label in enumerate(labels):
        if label not in known:
            known[label] = _name(label, row, names.kind)
    found = [known[label] for label in labels]
    if names.kind == "boolean":
        return np.array([name == "True" for name in found], np.bool_)
    return np.array(found, np.str_).astype(_TYPES[names.kind])


def require_labels(labels: Array, positive: Label) -> None:
    """Raise `ValueError` if ``labels`` are predictions of one label against the rest."""
    shown = label_text(positive)
    if labels.dtype.kind == "b" or shown in ("0", "1"):
        return
    if {"0", "1"} == {*map(label_text, np.unique(labels).tolist())}:
        raise ValueError(
            "expected the labels of the data, got only 0 and 1, and neither is the learnt class "
            f"{shown}; pass y == {repr(shown) if isinstance(positive, str) else shown}, or bools"
        )


def _name(label: Any, row: int, kind: str) -> str:
    if _is_missing(label):
        raise ValueError(f"y has no value in row {row}")
    name = label_name(label_text(label), kind)
    if name is None:
        raise ValueError(f"y has {label!r:.60} in row {row}, which is {not_of_kind(kind)}")
    return name


def _is_missing(label: Any) -> bool:
    # pandas has a missing value of its own, which equals nothing, not even itself.
    is_nan = isinstance(label, float) and math.isnan(label)
    return label is None or is_nan or type(label).__name__ == "NAType" or label == ""
