"""Writes predictions as CSV, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from stepml.cli.prediction_scores import Quality, score_of

if TYPE_CHECKING:
    from stepml.cli.prediction_rows import PredictionRows
    from stepml.trained_model import TrainedModel


@dataclass(frozen=True, slots=True)
class Results:
    """The result for the rows of one file."""

    rows: int
    quality: Quality  # empty without labels


def write_predictions(model: TrainedModel, rows: PredictionRows, file: TextIO) -> Results:
    """Write a header and a line for each row; return the quality of the predictions.

    The columns are ``prediction`` and, for models with probabilities, ``probability_<class>`` of
    each class.
    """
    score, n_rows = score_of(model, has_label=rows.has_label), 0
    has_probabilities = hasattr(model, "predict_proba")
    names = [_text(name) for name in model.classes_] if has_probabilities else []
    header = ",".join(["prediction", *(f"probability_{name}" for name in names)]) + "\n"
    for X, y in rows.blocks():
        predicted = model.predict(X)
        columns = [[_text(value) for value in predicted]]
        if has_probabilities:
            columns += model.predict_proba(X).astype(np.float32).astype(str).T.tolist()
        file.write(header + _lines(columns))  # after reading rows, so bad ones write nothing
        header = ""
        score.add(X, y, predicted)
        n_rows += len(y)
    file.write(header)
    return Results(n_rows, score.quality() if n_rows else Quality())


def _lines(columns: Sequence[Sequence[str]]) -> str:
    return "".join(f"{','.join(fields)}\n" for fields in zip(*columns, strict=True))


def _text(value: Any) -> str:
    """Format a label, a number or a cluster, without a trailing ``.0``."""
    return str(value).removesuffix(".0")
