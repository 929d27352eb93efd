"""Labels as classes: the classes of a model, and the weights of their rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from stepml.job.errors import BadLabelError
from stepml.job.models import MODELS
from stepml.job.spec_base import Label, label_text, listed, parse_labels
from stepml.ml.class_names import NUMBERS, ClassNames, as_stored
from stepml.ml.models.base import DataFacts, Floats

MOST_CLASSES = 1000

ClassWeight = Mapping[str, float] | str | None

_LARGEST_APART = 2**24
_AS_TEXT = " (In a table, labels are text if their type in data.columns.types is 'category'.)"

_REGRESSIONS = tuple(
    name for name, model in MODELS.items() if model.needs_labels and not model.learns_classes
)
_OF_SEVERAL = tuple(name for name, model in MODELS.items() if model.learns_several)
MEANT_REGRESSION = f"did you mean model {listed(_REGRESSIONS)}?"


def classes_of(facts: DataFacts, model: str) -> tuple[float, ...]:
    """Return the classes of ``model``, which its messages name, or raise `BadLabelError`."""
    labels = facts.labels
    if labels is None or len(labels) > MOST_CLASSES:
        meant = "" if facts.names.kind == "text" else f", or {MEANT_REGRESSION}"
        raise BadLabelError(
            f"the labels are not classes: there are more than {MOST_CLASSES:,} different ones; "
            f"is data.label the right column{meant or '?'}"
        )
    _require_storable(labels, model)
    classes = tuple(as_stored(label) for label in labels)
    if len(classes) < 2:
        raise BadLabelError(
            f"{model} needs two labels; the data have only: {facts.names.shown(classes)}"
        )
    _require_no_fractions(facts, classes, model)
    return classes


def look_continuous(labels: Sequence[float] | None, n_rows: int) -> bool:
    """Return whether labels seem to be numbers rather than classes.

    They do if there are many for the number of rows: more than 20, and less than ten rows a label;
    or fractions, of which no two rows in three share one.

    Parameters
    ----------
    labels : sequence of float, or None
        The distinct labels; None: too many for a list.
    n_rows : int
    """
    if labels is None:
        return True
    fractions = any(not float(label).is_integer() for label in labels)
    return (len(labels) > 20 and n_rows < 10 * len(labels)) or (
        fractions and len(labels) > 2 and 2 * n_rows < 3 * len(labels)
    )


def positive_of(
    asked: Label | None,
    classes: Sequence[float],
    model: str,
    n_rows: int | None = None,
    names: ClassNames = NUMBERS,
) -> float:
    """Return the label of the positive class, or raise `BadLabelError`.

    ``n_rows`` tells whether the labels `look_continuous`.
    """
    if asked is None:
        if len(classes) == 2:
            return max(classes)
        advice = (
            f"to learn all of them, choose model {listed(_OF_SEVERAL)}; to learn one against the "
            "rest, set model.positive_class"
        )
        if n_rows is not None and not names.names and look_continuous(classes, n_rows):
            advice = f"they look continuous: {MEANT_REGRESSION}"
        raise BadLabelError(
            f"{model} needs two labels, the data have {len(classes)} ({names.shown(classes)}); "
            f"{advice}"
        )
    label = names.code(asked)
    if label is None or not _is_storable(label) or as_stored(label) not in classes:
        raise BadLabelError(
            f"model.positive_class: expected a label of the data ({names.shown(classes)}), "
            f"got {label_text(asked)}"
        )
    return as_stored(label)


def weights_of(
    asked: ClassWeight,
    classes: Sequence[float],
    counts: Sequence[int] | None,
    positive: float | None = None,
    names: ClassNames = NUMBERS,
) -> dict[float, float] | None:
    """Return the factor of a row's loss by its label; None: all are 1.

    Parameters
    ----------
    asked : "balanced", or factors by the text of a label, or None
    classes : sequence of float
    counts : sequence of int, or None
        Rows of each class; only balanced weights need them.
    positive : float, optional
        The label of the positive class; if given, all others are balanced as one class.

    Raises
    ------
    BadLabelError
        A text is not a label of the data, or two texts are the same label, or all weights are 0.
    """
    if asked is None:
        return None
    if isinstance(asked, str):
        return _balanced(classes, counts, positive)
    texts = parse_labels(asked, lambda text: _class_named(text, classes, names), BadLabelError)
    labels = {code: names.label(code) for code in classes}
    weights = {
        code: float(asked[texts[label]]) if label in texts else 1.0
        for code, label in labels.items()
    }
    if not any(weights.values()):
        raise BadLabelError(
            "model.class_weight: expected a weight above 0 for at least one label of the data "
            f"({names.shown(classes)}), got 0 for all"
        )
    return weights


def shares_of(facts: DataFacts, weights: Mapping[float, float] | None) -> Floats | None:
    """Return the share of each label in the weights of all rows; None if counts are unknown.

    ``weights`` are factors by label, beside those of the rows.
    """
    of_labels = facts.label_weights or facts.label_counts
    if facts.labels is None or of_labels is None:
        return None
    counts = np.array(of_labels, np.float64)
    if weights is not None:
        counts *= [weights[as_stored(label)] for label in facts.labels]
    total = counts.sum()
    shares: Floats | None = counts / total if total > 0 else None
    return shares


def indices(labels: Floats, classes: Floats) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """Return the index of each label among ``classes``, or raise `BadLabelError`.

    Parameters
    ----------
    labels : array of shape (n_samples,)
    classes : array of shape (n_classes,), ascending
    """
    found = np.searchsorted(classes, labels).astype(np.int32)
    np.minimum(found, len(classes) - 1, out=found)
    strange = classes[found] != labels
    if strange.any():
        raise BadLabelError(
            f"expected the labels that were learnt ({NUMBERS.shown(classes)}), "
            f"got {label_text(as_stored(labels[strange][0]))}"
        )
    return found


def _require_no_fractions(facts: DataFacts, classes: Sequence[float], model: str) -> None:
    """Refuse labels that are certainly numbers: fractions, of which few rows share one."""
    if facts.names.names or facts.label_counts is None or all(map(float.is_integer, classes)):
        return
    n_rows = sum(facts.label_counts)
    if look_continuous(classes, n_rows):
        raise BadLabelError(
            f"{model} learns classes, but the labels look continuous: {len(classes)} different "
            f"ones in {n_rows:,} rows, such as {NUMBERS.shown(classes[:3])}; {MEANT_REGRESSION} "
            "(To learn them as classes all the same, set the type of the label in "
            "data.columns.types to 'category'.)"
        )


def _require_storable(labels: Sequence[float], model: str) -> None:
    """Refuse labels that float32, as which they are stored, would change."""
    if not all(math.isfinite(label) for label in labels):
        raise BadLabelError(f"{model}: expected finite labels, got {NUMBERS.shown(labels)}")
    largest = max(labels, key=abs, default=0.0)
    if abs(largest) > _LARGEST_APART:
        raise BadLabelError(
            f"{model}: labels are stored as float32, which lacks some whole numbers beyond "
            f"±{_LARGEST_APART:,}; the data have {label_text(largest)}{_AS_TEXT}"
        )
    changed = [label for label in labels if not _is_storable(label)]
    if changed:
        raise BadLabelError(
            f"{model}: labels are stored as float32, which makes "
            f"{label_text(as_stored(changed[0]))} of {label_text(changed[0])}; number the classes "
            f"0, 1, 2, …, or {MEANT_REGRESSION}{_AS_TEXT}"
        )


def _is_storable(label: float) -> bool:
    """Return whether float32 holds ``label``, or its shortest decimals."""
    return label in (float(np.float32(label)), as_stored(label))


def _balanced(
    classes: Sequence[float], counts: Sequence[int] | None, positive: float | None
) -> dict[float, float]:
    if counts is None or len(counts) != len(classes):
        raise ValueError("balanced class weights need the rows of each label")
    sides = classes if positive is None else [label == positive for label in classes]
    rows = dict.fromkeys(sides, 0)
    for side, count in zip(sides, counts, strict=True):
        rows[side] += count
    share = sum(counts) / max(1, sum(n > 0 for n in rows.values()))
    # Rows that validate may have a label that no row has for training.
    weights = {side: share / n if n else 1.0 for side, n in rows.items()}
    return {label: weights[side] for label, side in zip(classes, sides, strict=True)}


def _class_named(text: str, classes: Sequence[float], names: ClassNames) -> Label:
    code = names.code(text)
    label = math.nan if code is None else as_stored(code)
    if label not in classes:
        raise BadLabelError(
            f"model.class_weight: expected labels of the data ({names.shown(classes)}), "
            f"got {text!r}"
        )
    return names.label(label)
