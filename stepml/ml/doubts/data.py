"""Doubts about the data, known before training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stepml.job.reports import JobWarning
from stepml.job.spec import JobSpec
from stepml.job.spec_base import label_text, settled
from stepml.ml.data import Manifest, Moments, shard_kind
from stepml.ml.data.feature_names import NamedFeatures
from stepml.ml.data.remainders import are_coarse, are_narrow
from stepml.ml.models.classes import MEANT_REGRESSION, look_continuous

_ROUNDED = 1e-3  # of the labels' standard deviation
_CONSTANT = "features_constant"
_OF_CONSTANTS = ("worse_than_constant", "no_better_than_constant", "rarely_predicted")
_APART = 1e4  # ratio of the scales of features
_APART_IN_DISTANCE = 1e2  # of their deviations: the small one is 1/10,000 of squared distances
_OUTLIERS = 0.05  # share of many features that may be smaller, or larger: rare pixels and words


def doubts_about_data(spec: JobSpec, manifest: Manifest) -> list[JobWarning]:
    """Return warnings about the labels and features of a data set."""
    return [*_about_labels(spec, manifest), *_if_coarse(spec, manifest)]


def doubts_about_moments(
    spec: JobSpec, features: NamedFeatures, moments: Moments
) -> list[JobWarning]:
    """Return warnings about the features of the training rows."""
    if moments.are_constant.all() and spec.model.needs_labels:
        some = "the feature is" if len(moments.n) == 1 else f"all {len(moments.n)} features are"
        text = f"{some} constant, so they say nothing about the labels"
        return [JobWarning(code=_CONSTANT, text=text)]
    is_scaled = spec.data.rescales or spec.model.takes_images
    apart = [] if is_scaled else _if_apart(spec, features, moments)
    return [*_if_coarse_after_all(features, moments), *apart]


def without_consequences(
    doubts: Sequence[JobWarning], about_data: Sequence[JobWarning]
) -> list[JobWarning]:
    """Return the doubts about a model that warnings about its data do not foretell."""
    foretold = _OF_CONSTANTS if any(each.code == _CONSTANT for each in about_data) else ()
    return [doubt for doubt in doubts if doubt.code not in foretold]


def _if_coarse_after_all(features: NamedFeatures, moments: Moments) -> list[JobWarning]:
    """Return a warning about features for which float32 is too coarse, although not found as fine.

    The first rows decide which features are fine, and may lack them.
    """
    deviation = np.sqrt(moments.m2 / np.maximum(moments.n, 1))
    found = np.flatnonzero(are_coarse(moments.mean, deviation)).tolist()
    coarse = [feature for feature in found if feature not in features.fine]
    if not coarse:
        return []
    first = coarse[0]
    text = (
        f"{_title(features, coarse)} has values close together and far from 0, about "
        f"{moments.mean[first]:.10g} ± {deviation[first]:.3g}, which float32 hardly tells apart, "
        "and the first rows lack it: subtract a constant from it, or fill it in there"
    )
    return [JobWarning(code="features_rounded", text=text)]


def _if_apart(spec: JobSpec, features: NamedFeatures, moments: Moments) -> list[JobWarning]:
    """Return a warning about scales that no single learning rate, or distance, suits."""
    if settled(spec.algorithm).is_exact:
        return []
    has_distances = "clusters" in spec.model.traits  # in which means play no part
    squares = moments.m2 / np.maximum(moments.n, 1)
    sizes = np.sqrt(squares if has_distances else squares + moments.mean**2)
    are_scaled = features.are_scaled()
    if are_scaled is not None:  # what is 0 or 1 is not small, but rare
        sizes = np.where(are_scaled, sizes, 0)
    order = np.argsort(sizes, kind="stable")[np.count_nonzero(sizes == 0) :]
    if not len(order):
        return []
    out = int(_OUTLIERS * len(order))
    small, large = order[out], order[-1 - out]
    if sizes[large] <= (_APART_IN_DISTANCE if has_distances else _APART) * sizes[small]:
        return []
    text = (
        f"the features differ in scale: {features.feature_title(int(small))} is about "
        f"{sizes[small]:.3g}, {features.feature_title(int(large))} about {sizes[large]:.3g}: "
        "set data.standardise"
    )
    return [JobWarning(code="features_differ_in_scale", text=text)]


def _title(features: NamedFeatures, found: Sequence[int]) -> str:
    more = f", like {len(found) - 1} more," if len(found) > 1 else ""
    return f"{features.feature_title(found[0])}{more}"


def _about_labels(spec: JobSpec, manifest: Manifest) -> list[JobWarning]:
    if not spec.model.needs_labels:
        return []
    if spec.model.has_classes:
        return _if_continuous(manifest)
    moments = manifest.label_moments
    if moments.n and moments.squares == 0:
        text = f"all labels are {label_text(moments.mean)}, so no feature says anything about them"
        return [JobWarning(code="labels_constant", text=text)]
    if moments.rounding_error <= _ROUNDED * moments.deviation:
        return []
    text = (
        f"the labels are stored as float32, which changes them by about "
        f"{moments.rounding_error:.3g}; their standard deviation is {moments.deviation:.3g}: "
        "subtract a constant from them"
    )
    return [JobWarning(code="labels_rounded", text=text)]


def _if_coarse(spec: JobSpec, manifest: Manifest) -> list[JobWarning]:
    is_sparse = shard_kind(spec.data.matrix, manifest, spec.workers) == "sparse"
    if spec.data.rescales and not is_sparse:  # uses the digits that float32 lacks
        return []
    ends = dict(zip(manifest.layout.fine, manifest.fine_ends, strict=True))
    coarse = [(feature, each) for feature, each in ends.items() if each and are_narrow(each)]
    if not coarse:
        return []
    _, (low, high) = coarse[0]
    title = _title(manifest.layout, [feature for feature, _ in coarse])
    remedy = "" if spec.model.takes_images else _remedy(is_sparse=is_sparse)
    text = (
        f"{title} has values close together and far from 0, from {low:.10g} to {high:.10g}, which "
        f"float32 hardly tells apart: {remedy}subtract a constant"
    )
    return [JobWarning(code="features_rounded", text=text)]


def _remedy(*, is_sparse: bool) -> str:
    dense = "data.matrix to 'dense' and " if is_sparse else ""
    return f"set {dense}data.standardise, which subtracts the mean before, or "


def _if_continuous(manifest: Manifest) -> list[JobWarning]:
    labels = manifest.labels or ()
    if manifest.class_names or not look_continuous(labels, manifest.n_rows):
        return []
    text = (
        f"the labels look continuous, {len(labels)} different ones in {manifest.n_rows} rows: "
        f"{MEANT_REGRESSION}"
    )
    return [JobWarning(code="labels_look_continuous", text=text)]
