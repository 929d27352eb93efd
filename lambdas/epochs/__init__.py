"""The epochs of a job: one class for each way of exchanging."""

from __future__ import annotations

from typing import Any

from lambdas.epochs.asynchronous import AsynchronousEpochs
from lambdas.epochs.base import Epochs
from lambdas.epochs.in_flight import InFlightEpochs
from lambdas.epochs.orchestrated import OrchestratedEpochs
from lambdas.epochs.runs import EpochRun, RankRun
from stepml.job.spec import JobSpec
from stepml.ml.algorithms import build_algorithm

__all__ = ["EpochRun", "Epochs", "RankRun", "epochs_of"]

# By the `way` of an algorithm.
WAYS: dict[str, type[Epochs[Any]]] = {
    "orchestrated": OrchestratedEpochs,
    "in_flight": InFlightEpochs,
    "asynchronous": AsynchronousEpochs,
}


def epochs_of(spec: JobSpec) -> Epochs[Any]:
    """Return the epochs of a job, by the way in which its algorithm exchanges."""
    algorithm = build_algorithm(spec)
    return WAYS[algorithm.way](spec, algorithm)
