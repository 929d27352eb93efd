"""The unit in which a regression trains."""

from __future__ import annotations

from collections.abc import Callable

from lambdas.job_store.plans import PartitionPlan
from lambdas.job_store.store import JobStore
from stepml.job.spec import JobSpec
from stepml.ml.models.base import Floats, LabelUnit


def label_unit(
    store: JobStore, partition: PartitionPlan, spec: JobSpec, labels: Callable[[], Floats]
) -> LabelUnit:
    """Return the unit in which a regression trains: that of the epochs that the job resumes."""
    if not spec.model.trains_on_scaled_labels:
        return LabelUnit()
    resumed = JobStore(store.storage, partition.resumed_from).training_plan
    before = resumed.find() if partition.resumed_epochs else None
    return LabelUnit.of(labels()) if before is None else before.label_unit
