"""Algorithms: what one rank does in an epoch, and how contributions become the next state."""

from __future__ import annotations

from typing import Any

from stepml.job.spec import JobSpec
from stepml.job.spec_base import settled, tag
from stepml.ml.algorithms.admm import Admm
from stepml.ml.algorithms.base import Algorithm
from stepml.ml.algorithms.custom import CustomAlgorithm
from stepml.ml.algorithms.expectation_maximisation import ExpectationMaximisation
from stepml.ml.algorithms.gradient_averaging import AsynchronousGradients, GradientAveraging
from stepml.ml.algorithms.least_squares import LeastSquares
from stepml.ml.algorithms.model_averaging import AsynchronousModels, ModelAveraging
from stepml.ml.algorithms.peers import Aggregate, AllReduce
from stepml.ml.algorithms.state import Extras, Outcome, RankEpoch, RankProgress, Residuals, State

__all__ = [
    "ALGORITHMS",
    "Admm",
    "Aggregate",
    "Algorithm",
    "AllReduce",
    "AsynchronousGradients",
    "AsynchronousModels",
    "CustomAlgorithm",
    "ExpectationMaximisation",
    "Extras",
    "GradientAveraging",
    "LeastSquares",
    "ModelAveraging",
    "Outcome",
    "RankEpoch",
    "RankProgress",
    "Residuals",
    "State",
    "build_algorithm",
]


ALGORITHMS: dict[str, type[Algorithm[Any]]] = {
    "gradient_averaging": GradientAveraging,
    "model_averaging": ModelAveraging,
    "admm": Admm,
    "expectation_maximisation": ExpectationMaximisation,
    "least_squares": LeastSquares,
    "custom": CustomAlgorithm,
}


def build_algorithm(job: JobSpec) -> Algorithm[Any]:
    """Return the algorithm of a job, in the variant for its pattern."""
    return ALGORITHMS[tag(settled(job.algorithm))].from_job(job)
