"""The simplest values for the open fields of a job, for tests that are not about choosing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from stepml.job.algorithms import ALGORITHMS
from stepml.job.choices import GROUPS, filled
from stepml.job.models import MODELS
from stepml.job.spec import JobSpec
from stepml.job.spec_base import SpecGroup

_Group = TypeVar("_Group", bound=SpecGroup)

PLAIN: dict[str, Any] = {
    "standardise": False,
    "learning_rate": 0.1,
    "batch_size": 1000,
    "optimiser": "sgd",
    "momentum": 0.0,
    "schedule": "constant",
    "max_epochs": 10,
    "rho": 0.01,
    "adaptive_rho": True,
    "objective_tolerance": 0.0,
    "start": "zero",
    "l2": 0.0,
}
_OF_SGD = ("learning_rate", "batch_size")


def plain(group: _Group) -> _Group:
    """Return a group of a job, such as an algorithm, with the simplest values."""
    return filled(group, PLAIN)


def plain_spec(spec: JobSpec) -> JobSpec:
    """Return a job with the simplest values."""
    groups = {name: plain(getattr(spec, name)) for name in GROUPS}
    return msgspec.structs.replace(spec, **groups)


def plain_job(job: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON object of a job, which may be wrong, with the simplest values."""
    # The groups alone are copied: below them, a wrong job may be nested deeply.
    job = {name: {**value} if isinstance(value, dict) else value for name, value in job.items()}
    stop, data, algorithm = job.setdefault("stop", {}), job.get("data"), job.get("algorithm")
    if isinstance(stop, dict):
        stop.setdefault("max_epochs", PLAIN["max_epochs"])
    if isinstance(data, dict):
        data.setdefault("standardise", PLAIN["standardise"])
    idle = _OF_SGD if _has_other_solver(algorithm, job.get("model")) else ()
    for choice, kinds in ((algorithm, ALGORITHMS), (job.get("model"), MODELS)):
        _make_plain(choice, kinds, idle)
    return job


def _make_plain(choice: Any, kinds: Mapping[str, type[SpecGroup]], idle: Sequence[str]) -> None:
    name = choice.get("name") if isinstance(choice, dict) else None
    fields = kinds[name].open_fields if isinstance(name, str) and name in kinds else ()
    for field in fields:
        if field in PLAIN and field not in idle:
            choice.setdefault(field, PLAIN[field])


def _has_other_solver(algorithm: Any, model: Any) -> bool:
    """Return whether ranks of ADMM solve their problem by L-BFGS, which takes no steps of SGD."""
    if not isinstance(algorithm, dict) or algorithm.get("name") != "admm":
        return False
    is_hinge = (
        isinstance(model, dict)
        and model.get("name") == "svm"
        and model.get("loss", "hinge") == "hinge"
    )
    return algorithm.get("local_solver", "sgd" if is_hinge else "lbfgs") == "lbfgs"
