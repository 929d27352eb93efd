"""The weight of the l2 penalty."""

from __future__ import annotations

import msgspec

from stepml.job.algorithm_base import Descent
from stepml.job.choices import filled
from stepml.job.spec import JobSpec


def with_penalty(spec: JobSpec, training_rows: int) -> JobSpec:
    """Return the job with a value of ``model.l2``, if the model has that field.

    Without a penalty, a classifier of rows that can be separated has no minimum: the longer it
    trains, the worse are its probabilities on other rows. C = 1, as in scikit-learn, prevents that
    and hardly changes a model of many rows.
    """
    algorithm = spec.algorithm
    decays = isinstance(algorithm, Descent) and algorithm.weight_decay
    is_free = spec.model.l1_factor or decays
    l2 = 0.0 if is_free else float(f"{1 / training_rows:.3g}")
    return msgspec.structs.replace(spec, model=filled(spec.model, {"l2": l2}))
