"""Writes predictions, a block of rows at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stepml.cli.errors import BadInputError
from stepml.cli.prediction_files import Column, PredictionWriter
from stepml.cli.prediction_scores import Quality, Score, score_of
from stepml.ml.models.base import Array

if TYPE_CHECKING:
    from stepml.cli.prediction_rows import Block, PredictionRows
    from stepml.trained_model import TrainedModel

_PREDICTION = "prediction"


@dataclass(frozen=True, slots=True)
class Results:
    """The result for all rows."""

    rows: int
    unlabelled_rows: int  # rows without a label, though others have one
    quality: Quality  # empty without labels


def write_predictions(
    model: TrainedModel, rows: PredictionRows, writer: PredictionWriter
) -> Results:
    """Write a row of predictions for each row; return their quality.

    The columns are those to copy, ``prediction`` and, for models with probabilities,
    ``probability_<class>`` of each class.

    Raises
    ------
    BadInputError
        A column to copy has one of these names.
    """
    score = score_of(model, has_label=rows.has_label)
    n_rows = n_unlabelled = 0
    for block in rows.blocks():
        predicted = model.predict(block.X)
        # After reading rows, so bad ones write nothing.
        writer.write(_joined(block.kept, _columns(model, block.X, predicted)))
        n_unlabelled += _add(score, block, predicted)
        n_rows += len(block)
    if not n_rows:
        writer.write(_empty_columns(model))
    writer.end()
    quality = score.quality() if n_rows > n_unlabelled else Quality()
    return Results(n_rows, n_unlabelled, quality)


def _columns(model: TrainedModel, X: Any, predicted: Array) -> dict[str, Column]:
    columns: dict[str, Column] = {_PREDICTION: _as_whole(model, predicted)}
    if hasattr(model, "predict_proba"):
        chances = model.predict_proba(X).astype(np.float32)
        columns |= dict(zip(_chance_names(model), chances.T, strict=True))
    return columns


def _empty_columns(model: TrainedModel) -> dict[str, Column]:
    names = [_PREDICTION, *(_chance_names(model) if hasattr(model, "predict_proba") else [])]
    labels = np.zeros(0, model.classes_.dtype if hasattr(model, "classes_") else np.float32)
    empty: dict[str, Column] = {name: np.zeros(0, np.float32) for name in names}
    return empty | {_PREDICTION: labels}


def _chance_names(model: TrainedModel) -> list[str]:
    classes = model.classes_
    are_floats = classes.dtype.kind == "f"
    names = [str(label).removesuffix(".0" if are_floats else "") for label in classes]
    return [f"probability_{name}" for name in names]


def _as_whole(model: TrainedModel, predicted: Array) -> Array:
    """Return labels that are whole numbers as integers."""
    if not hasattr(model, "classes_") or predicted.dtype.kind != "f":
        return predicted
    is_whole = np.array_equal(model.classes_, np.round(model.classes_))
    return predicted.astype(np.int64) if is_whole else predicted


def _joined(kept: dict[str, Column], own: dict[str, Column]) -> dict[str, Column]:
    if twice := kept.keys() & own.keys():
        raise BadInputError(
            f"--keep: expected other columns than those of the predictions, got {min(twice)!r}"
        )
    return kept | own


def _add(score: Score, block: Block, predicted: Array) -> int:
    """Add the rows with labels to the score; return the number of the others."""
    known = block.is_labelled
    if known.all():
        score.add(block.X, block.y, predicted)
    elif known.any():
        score.add(block.X[known], block.y[known], predicted[known])
    return int(np.count_nonzero(~known))
