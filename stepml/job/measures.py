"""The measures of a model on the validation rows, by which epochs can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

LOSS = "loss"
# Whether a greater value is better.
MEASURES = {
    LOSS: False,
    "log_loss": False,
    "accuracy": True,
    "top5_accuracy": True,
    "auc": True,
    "average_precision": True,
    "precision": True,
    "recall": True,
    "f1": True,
    "rmse": False,
    "mae": False,
    "r2": True,
    "inertia": False,
}

# They compare scores of rows; other measures of classifiers compare the predicted classes.
_OF_SCORES = ("log_loss", "auc", "average_precision")

if TYPE_CHECKING:
    MeasureName = str
else:  # the choices of stop.metric, for the parser and the schema
    MeasureName = Literal[tuple(MEASURES)]


def rank_of(measure: str, value: float) -> float:
    """Return a number that is less the better ``value`` is."""
    return -value if MEASURES[measure] else value


def is_of_scores(measure: str) -> bool:
    """Return whether a measure compares scores, so that predicted classes do not matter."""
    return measure in _OF_SCORES
