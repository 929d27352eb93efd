"""The scale of a job's rows: how they are filled in and scaled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lambdas.job_store.plans import TrainingPlan
from stepml.ml.data import Manifest, Moments, Scale, Shard, scale_of
from stepml.ml.data.treatments import treatments_of
from stepml.ml.data.uninformative import say_nothing


def has_scale(plan: TrainingPlan) -> bool:
    """Return whether the job's model has a scale: rows to predict may lack values."""
    data = plan.spec.data
    may_lack_values = data.may_lack_values and plan.matrix != "uint8"
    return data.rescales or data.drops_uninformative or may_lack_values


def scales_shards(plan: TrainingPlan) -> bool:
    """Return whether the scale changes the job's own rows."""
    data = plan.spec.data
    changes = data.rescales or data.drops_uninformative or plan.about.missing_values > 0
    return has_scale(plan) and changes


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
    left_out = None
    if plan.spec.data.drops_uninformative:
        numbers = manifest.named_features.are_scaled()
        left_out = say_nothing(moments, manifest.n_rows, numbers, lambda: sample().X)
    return scale_of(
        moments,
        replace(treatments, left_out=left_out),
        sparse=plan.matrix == "sparse",
        sample=sample,
    )
