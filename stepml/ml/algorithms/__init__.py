"""Algorithms: what one rank does in an epoch, and how contributions become the next state."""

from __future__ import annotations

from stepml.job import spec
from stepml.job.availability import ALGORITHMS, tag
from stepml.job.errors import NotAvailableError
from stepml.ml.algorithms.base import (
    Aggregate,
    AllReduce,
    AsynchronousAlgorithm,
    InFlightAlgorithm,
    OrchestratedAlgorithm,
    Progress,
)
from stepml.ml.algorithms.gradient_averaging import AsynchronousGradients, GradientAveraging
from stepml.ml.algorithms.model_averaging import ModelAveraging

__all__ = [
    "Aggregate",
    "Algorithm",
    "AllReduce",
    "AsynchronousAlgorithm",
    "AsynchronousGradients",
    "GradientAveraging",
    "InFlightAlgorithm",
    "ModelAveraging",
    "OrchestratedAlgorithm",
    "Progress",
    "build_algorithm",
]


Algorithm = OrchestratedAlgorithm | InFlightAlgorithm | AsynchronousAlgorithm


def build_algorithm(job: spec.JobSpec) -> Algorithm:
    """Return the algorithm that the job spec asks for, as its pattern wants it."""
    algorithm, pattern = job.algorithm, job.exchange.pattern
    if isinstance(algorithm, spec.GradientAveraging) and pattern == "async":
        return AsynchronousGradients(algorithm)
    if isinstance(algorithm, spec.GradientAveraging):
        return GradientAveraging(algorithm)
    if isinstance(algorithm, spec.ModelAveraging):
        return ModelAveraging(algorithm)
    raise NotAvailableError(
        f"algorithm {tag(algorithm)!r} is not available yet; available: {', '.join(ALGORITHMS)}"
    )
