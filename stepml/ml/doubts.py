"""Warnings about the data and the model of a job; each says what may help.

=========================  =====================================================================
``labels_look_continuous``  A classifier learns labels that are rather numbers.
``labels_rounded``          float32, as which labels are stored, loses much of their differences.
``features_rounded``       float32, as which features are stored, tells few of their values apart.
``worse_than_constant``     The model is worse than one that ignores the features.
``loss_rose``               The loss is above that before training.
=========================  =====================================================================
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stepml.job.reports import JobWarning
from stepml.job.spec import JobSpec
from stepml.ml.convergence import advice
from stepml.ml.data import Layout, Manifest, Moments, shard_kind
from stepml.ml.data.remainders import are_coarse, are_narrow
from stepml.ml.models.classes import MEANT_REGRESSION, look_continuous

_ROUNDED = 1e-3  # of the labels' standard deviation
_MARGIN = 0.01  # relative; validation rows are a sample


def doubts_about_data(spec: JobSpec, manifest: Manifest) -> list[JobWarning]:
    """Return warnings about the labels and features of a data set."""
    return [*_about_labels(spec, manifest), *_if_coarse(spec, manifest)]


def doubts_about_moments(layout: Layout, moments: Moments) -> list[JobWarning]:
    """Return a warning about features for which float32 is too coarse, although not found as fine.

    The first rows decide which features are fine, and may lack them.
    """
    deviation = np.sqrt(moments.m2 / np.maximum(moments.n, 1))
    found = np.flatnonzero(are_coarse(moments.mean, deviation)).tolist()
    coarse = [feature for feature in found if feature not in layout.fine]
    if not coarse:
        return []
    first = coarse[0]
    text = (
        f"{_title(layout, coarse)} has values close together and far from 0, about "
        f"{moments.mean[first]:.10g} ± {deviation[first]:.3g}, which float32 hardly tells apart, "
        "and the first rows lack it: subtract a constant from it, or fill it in there"
    )
    return [JobWarning(code="features_rounded", text=text)]


def _title(layout: Layout, features: Sequence[int]) -> str:
    more = f", like {len(features) - 1} more," if len(features) > 1 else ""
    return f"{layout.feature_title(features[0])}{more}"


def _about_labels(spec: JobSpec, manifest: Manifest) -> list[JobWarning]:
    if not spec.model.needs_labels:
        return []
    if spec.model.learns_classes:
        return _if_continuous(manifest)
    moments = manifest.label_moments
    if moments.rounding_error <= _ROUNDED * moments.deviation:
        return []
    text = (
        f"the labels are stored as float32, which changes them by about "
        f"{moments.rounding_error:.3g}; their standard deviation is {moments.deviation:.3g}: "
        "subtract a constant from them"
    )
    return [JobWarning(code="labels_rounded", text=text)]


def doubts_about_model(
    spec: JobSpec, loss: float, constant_loss: float | None, first_loss: float | None
) -> list[JobWarning]:
    """Return warnings about a trained model.

    Parameters
    ----------
    spec : JobSpec
    loss : float
        The model's, on the validation rows.
    constant_loss, first_loss : float, optional
        On the same rows: of the best model that ignores the features, and of the state before
        training.
    """
    if constant_loss is not None and _exceeds(loss, constant_loss):
        text = (
            f"the validation loss {loss:.6g} is worse than that of a model that ignores the "
            f"features, {constant_loss:.6g}: {advice(spec)}"
        )
        return [JobWarning(code="worse_than_constant", text=text)]
    if first_loss is not None and _exceeds(loss, first_loss):
        text = (
            f"the validation loss rose from {first_loss:.6g} to {loss:.6g} in training: "
            f"{advice(spec)}"
        )
        return [JobWarning(code="loss_rose", text=text)]
    return []


def _if_coarse(spec: JobSpec, manifest: Manifest) -> list[JobWarning]:
    is_sparse = shard_kind(spec.data.matrix, manifest, spec.workers) == "sparse"
    if spec.data.standardise and not is_sparse:  # uses the digits that float32 lacks
        return []
    ends = dict(zip(manifest.layout.fine, manifest.fine_ends, strict=True))
    coarse = [(feature, each) for feature, each in ends.items() if each and are_narrow(each)]
    if not coarse:
        return []
    _, (low, high) = coarse[0]
    title = _title(manifest.layout, [feature for feature, _ in coarse])
    text = (
        f"{title} has values close together and far from "
        f"0, from {low:.10g} to {high:.10g}, which float32 hardly tells apart: set "
        + ("data.matrix to 'dense' and " if is_sparse else "")
        + "data.standardise, which subtracts the mean before, or subtract a constant"
    )
    return [JobWarning(code="features_rounded", text=text)]


def _if_continuous(manifest: Manifest) -> list[JobWarning]:
    labels = manifest.labels or ()
    if not look_continuous(labels, manifest.n_rows):
        return []
    text = (
        f"the labels look continuous, {len(labels)} different ones in {manifest.n_rows} rows: "
        f"{MEANT_REGRESSION}"
    )
    return [JobWarning(code="labels_look_continuous", text=text)]


def _exceeds(loss: float, other: float) -> bool:
    return loss > other + _MARGIN * abs(other)
