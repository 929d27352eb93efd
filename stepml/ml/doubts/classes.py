"""Doubts about the split of a classifier's rows: classes that validate, but do not train."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stepml.job.errors import BadLabelError
from stepml.job.reports import JobWarning
from stepml.job.spec import JobSpec
from stepml.job.spec_base import tag
from stepml.ml.data import Manifest, labels_and_counts
from stepml.ml.models.base import Floats, Model
from stepml.ml.models.classifiers import BinaryClassifier

_MOST_NAMED = 10

_Ints = NDArray[np.intp]


def doubts_about_classes(
    spec: JobSpec, model: Model, manifest: Manifest, held_out: Floats
) -> list[JobWarning]:
    """Return a warning about classes without training rows.

    Parameters
    ----------
    spec : JobSpec
    model : Model
        Of the job.
    manifest : Manifest
    held_out : array of shape (n_samples,)
        Labels of the rows that validate and do not train.

    Raises
    ------
    BadLabelError
        The training rows have only one class.
    """
    if not spec.model.has_classes:
        return []
    labels, counts = labels_and_counts(manifest)
    validating = np.bincount(np.searchsorted(labels, held_out), minlength=len(labels))
    # The manifest counts all rows, unless it knows which ones validate.
    training = counts - validating if manifest.n_validation is None else counts
    if not _is_enough(model, labels, training):
        raise BadLabelError(
            f"{tag(spec.model)} needs two labels, but the training rows have only: "
            f"{manifest.names.shown(labels[training > 0].tolist())}; {_advice(spec)}"
        )
    unseen = (training == 0) & (validating > 0)
    if not unseen.any() or isinstance(model, BinaryClassifier):  # it learns one label, or the rest
        return []
    names = [manifest.names.text(label) for label in labels[unseen].tolist()]
    them = "it" if np.count_nonzero(unseen) == 1 else "them"
    text = (
        f"no training row has label {_listed(names, validating[unseen])}: the model "
        f"cannot learn {them}, and the validation loss counts these rows; {_advice(spec)}"
    )
    return [JobWarning(code="labels_not_trained", text=text)]


def _is_enough(model: Model, labels: Floats, training: _Ints) -> bool:
    sides = labels
    if isinstance(model, BinaryClassifier):
        sides = (labels == np.float32(model.positive)).astype(np.float32)
    return len(np.unique(sides[training > 0])) > 1


def _listed(names: Sequence[str], validating: _Ints) -> str:
    texts = [
        f"{name} ({rows:,} row{'' if rows == 1 else 's'} for validation)"
        for name, rows in zip(names, validating.tolist(), strict=True)
    ]
    more = len(texts) - _MOST_NAMED
    return ", ".join(texts[:_MOST_NAMED]) + (f" and {more} more labels" if more > 0 else "")


def _advice(spec: JobSpec) -> str:
    if spec.data.validation is None:
        return "set data.stratify, or add rows"
    return "add such rows to the training rows, or change data.validation"
