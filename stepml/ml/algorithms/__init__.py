"""Algorithms: what one rank does in an epoch, and how contributions become the next state."""

from __future__ import annotations

from typing import Any

from stepml.job import spec
from stepml.job.availability import ALGORITHMS
from stepml.job.combinations import local_solver
from stepml.job.errors import NotAvailableError
from stepml.job.spec import tag
from stepml.ml.algorithms.admm import Admm
from stepml.ml.algorithms.base import (
    Aggregate,
    AllReduce,
    AsynchronousAlgorithm,
    Extras,
    InFlightAlgorithm,
    OrchestratedAlgorithm,
    Outcome,
    RankEpoch,
    RankProgress,
    Residuals,
    State,
)
from stepml.ml.algorithms.expectation_maximisation import ExpectationMaximisation
from stepml.ml.algorithms.gradient_averaging import AsynchronousGradients, GradientAveraging
from stepml.ml.algorithms.model_averaging import AsynchronousModels, ModelAveraging

__all__ = [
    "Admm",
    "Aggregate",
    "Algorithm",
    "AllReduce",
    "AsynchronousAlgorithm",
    "AsynchronousGradients",
    "AsynchronousModels",
    "ExpectationMaximisation",
    "Extras",
    "GradientAveraging",
    "InFlightAlgorithm",
    "ModelAveraging",
    "OrchestratedAlgorithm",
    "Outcome",
    "RankEpoch",
    "RankProgress",
    "Residuals",
    "State",
    "build_algorithm",
]


# Which models go with which algorithm was checked when the job was parsed.
Algorithm = OrchestratedAlgorithm[Any] | InFlightAlgorithm[Any] | AsynchronousAlgorithm[Any]


def build_algorithm(job: spec.JobSpec) -> Algorithm:
    """Return the algorithm that the job spec asks for, as its pattern wants it."""
    algorithm, is_async = job.algorithm, job.exchange.pattern == "async"
    max_epochs = job.stop.max_epochs
    if isinstance(algorithm, spec.GradientAveraging):
        if is_async:
            on_server = job.exchange.server_update != "none"
            return AsynchronousGradients(algorithm, max_epochs, on_server)
        return GradientAveraging(algorithm, max_epochs)
    if isinstance(algorithm, spec.ModelAveraging):
        return (AsynchronousModels if is_async else ModelAveraging)(algorithm, max_epochs)
    if isinstance(algorithm, spec.Admm):
        return Admm(algorithm, local_solver(job))
    if isinstance(algorithm, spec.ExpectationMaximisation):
        return ExpectationMaximisation()
    raise NotAvailableError(
        f"algorithm {tag(algorithm)!r} is not available yet; available: {', '.join(ALGORITHMS)}"
    )
