"""The values of a job's open fields that depend on its data."""

from __future__ import annotations

from typing import Any

import msgspec

from stepml.job.choices import filled
from stepml.job.spec import Exchange, JobSpec
from stepml.job.spec_base import settled


def choose(spec: JobSpec) -> JobSpec:
    """Return the job with a value in every open field.

    Parameters
    ----------
    spec : JobSpec
        With an algorithm.
    """
    return msgspec.structs.replace(
        spec,
        data=filled(spec.data, {"standardise": False}),
        algorithm=filled(settled(spec.algorithm).chosen(), _of_descent(spec.exchange)),
        stop=filled(spec.stop, {"max_epochs": 10}),
    )


def _of_descent(exchange: Exchange) -> dict[str, Any]:
    return {
        "learning_rate": 0.1,
        "batch_size": 1000,
        "optimiser": "adam" if exchange.server_update == "adam" else "sgd",
        "momentum": 0.0,
        "schedule": "constant",
    }
