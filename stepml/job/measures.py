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

if TYPE_CHECKING:
    MeasureName = str
else:  # the choices of stop.metric, for the parser and the schema
    MeasureName = Literal[tuple(MEASURES)]


def rank_of(measure: str, value: float) -> float:
    """Return a number that is less the better ``value`` is."""
    return -value if MEASURES[measure] else value
