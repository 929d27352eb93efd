"""The weight of the l2 penalty."""

from __future__ import annotations

import msgspec

from stepml.job.algorithm_base import Descent
from stepml.job.choices import filled
from stepml.job.spec import JobSpec


def with_penalty(spec: JobSpec, training_rows: int, *, has_levels: bool = False) -> JobSpec:
    """Return the job with a value of ``model.l2``, if the model has that field.

    Without a penalty, a classifier of rows that can be separated has no minimum: the longer it
    trains, the worse are its probabilities on other rows. Least squares have no unique minimum if
    columns are levels, because the features of a category add up to one; with about as many levels
    as rows, they repeat the labels. C = 1 and alpha = 1, the defaults of scikit-learn, prevent that
    and hardly change a model of many rows.

    Parameters
    ----------
    spec : JobSpec
    training_rows : int
    has_levels : bool
        Whether categories have a feature for each level.
    """
    algorithm, model = spec.algorithm, spec.model
    decays = isinstance(algorithm, Descent) and algorithm.weight_decay
    is_free = model.l1_factor or decays or not (model.learns_classes or has_levels)
    l2 = 0.0 if is_free else float(f"{1 / training_rows:.3g}")
    return msgspec.structs.replace(spec, model=filled(model, {"l2": l2}))
