"""The scale of a job's rows: how they are filled in and scaled."""

from __future__ import annotations

from collections.abc import Callable

from lambdas.job_store.plans import TrainingPlan
from stepml.ml.data import Manifest, Moments, Scale, Shard
from stepml.ml.job_scale import scale_for


def has_scale(plan: TrainingPlan) -> bool:
    """Return whether the job's model has a scale: rows to predict may lack values."""
    data = plan.spec.data
    may_lack_values = data.may_lack_values and plan.matrix != "uint8"
    return data.rescales or data.drops_uninformative or may_lack_values


def scales_shards(plan: TrainingPlan) -> bool:
    """Return whether the scale changes the job's own rows."""
    data = plan.spec.data
    # Missing levels are not counted: they are a level of their own, unless the job says otherwise.
    may_fill_levels = data.missing is not None and "category" in plan.about.kinds
    lacks_values = plan.about.missing_values > 0 or may_fill_levels
    return has_scale(plan) and (data.rescales or data.drops_uninformative or lacks_values)


def learnt_scale(
    plan: TrainingPlan, manifest: Manifest, moments: Moments, sample: Callable[[], Shard]
) -> Scale | None:
    """Return the scale of the training rows, or None if there is none.

    Parameters
    ----------
    plan : TrainingPlan
    manifest : Manifest
    moments : Moments
        Of all training rows.
    sample : callable
        Returns training rows as in the data. Called only if needed.
    """
    if not has_scale(plan):
        return None
    return scale_for(plan.spec, manifest, moments, sample, sparse=plan.matrix == "sparse")
