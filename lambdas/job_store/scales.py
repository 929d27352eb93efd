"""The scale of a job's rows: how they are filled in and scaled."""

from __future__ import annotations

from collections.abc import Callable

from lambdas.job_store.plans import TrainingPlan
from stepml.ml.data import Manifest, Moments, Scale, Shard, scale_of
from stepml.ml.data.treatments import treatments_of


def has_scale(plan: TrainingPlan) -> bool:
    """Return whether the job's model has a scale: rows to predict may lack values."""
    data = plan.spec.data
    return data.rescales or (data.may_lack_values and plan.matrix != "uint8")


def scales_shards(plan: TrainingPlan) -> bool:
    """Return whether the scale changes the job's own rows."""
    return has_scale(plan) and (plan.spec.data.rescales or plan.about.missing_values > 0)


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
    treatments = treatments_of(plan.spec.data, manifest.layout, manifest.encoder)
    return scale_of(moments, treatments, sparse=plan.matrix == "sparse", sample=sample)
