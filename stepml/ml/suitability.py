"""Checks whether a job can train on a data set, before it does."""

from __future__ import annotations

from pathlib import Path

from stepml.job.algorithms import algorithms_of
from stepml.job.errors import BadLabelError, ModelTooLargeError
from stepml.job.spec import JobSpec
from stepml.job.spec_base import settled, tag
from stepml.ml.algorithms import build_algorithm
from stepml.ml.data import Manifest
from stepml.ml.data.column_settings import require_scaled_columns
from stepml.ml.job_shards import split_of
from stepml.ml.label_checks import label_title, require_labels_suit
from stepml.ml.models import Model, build_model
from stepml.ml.sample_objective import bytes_a_parameter

# Of a function of 3 GB, which may hold a shard of 1 GiB and another that it used before.
MOST_MODEL_BYTES = 2**30


def check_suits(
    spec: JobSpec, manifest: Manifest, most_model_bytes: int = MOST_MODEL_BYTES
) -> None:
    """Raise now the error by which a job on this data set would fail later."""
    require_scaled_columns(spec.data, manifest.layout)
    _, plan = split_of(spec, manifest)
    require_labels_suit(spec, manifest.layout)
    model = model_on(spec, manifest)
    if not (
        spec.model.function_kind or spec.needs_code
    ):  # InitialiseModel builds these, and counts
        require_room(spec, model.n_parameters, most_model_bytes)
    spec.model.check_rows(sum(interval.n_rows for interval in plan.shards))


def model_on(spec: JobSpec, manifest: Manifest, code: Path | None = None) -> Model:
    """Return the job's model; a `BadLabelError` names the label's column.

    ``code`` is the directory of the job's own code, if that is to run.
    """
    labels, counts, names = manifest.labels, manifest.label_counts, manifest.names
    try:
        return build_model(spec.model, manifest.n_features, labels, counts, code=code, names=names)
    except BadLabelError as error:
        if str(error).startswith("model."):  # which names the field instead
            raise
        raise BadLabelError(f"{label_title(manifest.layout)}{error}") from None


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
