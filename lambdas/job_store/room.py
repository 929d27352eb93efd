"""The memory of functions for a job's model; `training_memory` has that of networks."""

from __future__ import annotations

import msgspec

from lambdas.job_store.plans import PartitionPlan
from stepml.job.spec_base import settled, tag
from stepml.ml.choices import with_room
from stepml.ml.data import Manifest
from stepml.ml.own.code import directory_of
from stepml.ml.suitability import model_on

_CHOICE = "algorithm.name"


def fitted(plan: PartitionPlan, manifest: Manifest, most_model_bytes: int) -> PartitionPlan:
    """Return the plan with an algorithm that has room for the model, unless the job names one.

    Prepare chooses the algorithm, but the data may have more features than it knows.
    """
    if _CHOICE not in plan.choices or plan.resumed_epochs:
        return plan
    code = directory_of(plan.code) if plan.code else None
    model = model_on(plan.spec, manifest, code)
    spec = with_room(plan.spec, model.n_parameters, most_model_bytes)
    if spec == plan.spec:
        return plan
    name, before = tag(settled(spec.algorithm)), tag(settled(plan.spec.algorithm))
    note = (
        f"algorithm {name}, as functions have no room for {before} with a model of "
        f"{model.n_parameters:,} parameters"
    )
    return msgspec.structs.replace(
        plan, spec=spec, notes=[*plan.notes, note], choices={**plan.choices, _CHOICE: name}
    )
