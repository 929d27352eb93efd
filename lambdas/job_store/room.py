"""The memory of functions for a job's model; `training_memory` has that of networks."""

from __future__ import annotations

import msgspec

from lambdas.job_store.plans import PartitionPlan
from stepml.job.algorithms import algorithms_of
from stepml.job.errors import ModelTooLargeError
from stepml.job.spec import JobSpec
from stepml.job.spec_base import settled, tag
from stepml.ml.algorithms import build_algorithm
from stepml.ml.choices import with_room
from stepml.ml.data import Manifest
from stepml.ml.models import build_model
from stepml.ml.sample_objective import bytes_a_parameter

# Of a function of 3 GB, which may hold a shard of 1 GiB and another that it used before.
MOST_MODEL_BYTES = 2**30

_CHOICE = "algorithm.name"


def fitted(plan: PartitionPlan, manifest: Manifest, most_model_bytes: int) -> PartitionPlan:
    """Return the plan with an algorithm that has room for the model, unless the job names one.

    Prepare chooses the algorithm, but the data may have more features than it knows.
    """
    if _CHOICE not in plan.choices or plan.resumed_epochs:
        return plan
    model = build_model(
        plan.spec.model, manifest.n_features, manifest.labels, manifest.label_counts
    )
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


def require_room(spec: JobSpec, n_parameters: int, most_model_bytes: int) -> None:
    """Raise `ModelTooLargeError` if training so many parameters takes more memory."""
    algorithm, built = settled(spec.algorithm), build_algorithm(spec)
    most = {f"algorithm {tag(algorithm)!r}": built.most_parameters(most_model_bytes)}
    if algorithm.starts_at_sample:
        most["algorithm.start 'sample'"] = most_model_bytes // bytes_a_parameter(spec.model)
    for choice, most_parameters in most.items():
        if n_parameters > most_parameters:
            raise ModelTooLargeError(
                f"the model has {n_parameters:,} parameters; with {choice} a function has room "
                f"for {most_parameters:,}: {_remedy(spec, choice)}"
            )


def _remedy(spec: JobSpec, choice: str) -> str:
    others = f", or another {choice.split()[0]}" if len(algorithms_of(spec.model)) > 1 else ""
    return f"use fewer features, classes or clusters{others}"
