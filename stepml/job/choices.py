"""Open fields of a job: their null means that StepML chooses, once, before training starts.

`with_algorithm` chooses what needs no data, `stepml.ml.choices` everything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, cast

import msgspec

from stepml.job.algorithm_base import Circumstances
from stepml.job.algorithm_checks import suits
from stepml.job.algorithms import ALGORITHMS, Algorithm, algorithms_of
from stepml.job.channels import CHANNELS
from stepml.job.formats import FORMATS
from stepml.job.spec import JobSpec, Stop
from stepml.job.spec_base import SpecGroup, open_fields_of, settled, tag

Choices = dict[str, Any]
"""Chosen values by the path of their field, such as ``stop.max_epochs``."""

GROUPS = ("data", "model", "algorithm", "stop")  # of a job, with open fields

# What is said about the data has these.
_OF_DATA = ("data.format", "data.has_label")

_Group = TypeVar("_Group", bound=SpecGroup)


def with_algorithm(
    spec: JobSpec, n_features: int | None = None, concurrency: int | None = None
) -> JobSpec:
    """Return the job with an algorithm: its own, or the one that suits model and exchange.

    Parameters
    ----------
    spec : JobSpec
    n_features : int, optional
        Of the data, if it is known.
    concurrency : int, optional
        Functions that the account runs at once, if it is known.
    """
    if spec.algorithm is not None:
        return spec
    preferred = by_preference(spec, n_features, concurrency)
    return next((each for each in preferred if suits(each)), preferred[0])


def by_preference(
    spec: JobSpec, n_features: int | None = None, concurrency: int | None = None
) -> list[JobSpec]:
    """Return the job with each algorithm of its model and pattern, the best one first.

    The parameters are those of `with_algorithm`.
    """
    exchange = spec.exchange
    at = Circumstances(
        spec.model,
        exchange.pattern,
        exchange.compression != "none",
        CHANNELS[exchange.channel].tariff is not None,
        spec.workers,
        n_features,
        concurrency,
    )
    known = [ALGORITHMS[name] for name in algorithms_of(spec.model)]
    kinds = [each for each in known if each.may_be_chosen]
    # Without one for the pattern, the message about the pattern names an algorithm of the model.
    suited = [each for each in kinds if exchange.pattern in each.patterns] or kinds
    if exchange.server_update != "none":
        suited = [each for each in suited if each.server_steps] or suited
    suited.sort(key=lambda each: each.preference(at), reverse=True)
    return [msgspec.structs.replace(spec, algorithm=cast("Algorithm", each())) for each in suited]


def with_format(spec: JobSpec, data_format: str) -> JobSpec:
    """Return the job with the format of its data, and with the decision on their label."""
    is_column = FORMATS[data_format].label == "column"
    has_label = spec.model.needs_labels or spec.data.label is not None or not is_column
    data = filled(spec.data, {"format": data_format, "has_label": has_label})
    return msgspec.structs.replace(spec, data=data)


def with_rows(spec: JobSpec, n_features: int | None, row_shape: Sequence[int]) -> JobSpec:
    """Return the job with a model for the data's rows; see `ModelSpec.for_rows`."""
    model = spec.model.for_rows(n_features, row_shape)
    return msgspec.structs.replace(spec, model=model)


def with_index_base(spec: JobSpec, zero_based: bool | Literal["auto"]) -> JobSpec:
    """Return the job with the decision on the first index, if the format of its data has any."""
    if FORMATS[settled(spec.data.format)].sparse != "always":
        return spec
    return msgspec.structs.replace(
        spec, data=msgspec.structs.replace(spec.data, zero_based=zero_based)
    )


def filled(group: _Group, values: Mapping[str, Any]) -> _Group:
    """Return ``group`` with ``values`` in its open fields that are null."""
    return msgspec.structs.replace(
        group, **{name: values[name] for name in open_fields_of(group) if name in values}
    )


def inherited(spec: JobSpec, before: JobSpec) -> JobSpec:
    """Return ``spec`` with the choices of the job ``before``, which it resumes."""
    algorithm = before.algorithm if spec.algorithm is None else spec.algorithm
    spec = msgspec.structs.replace(spec, algorithm=algorithm)
    groups = {name: _like(getattr(spec, name), getattr(before, name)) for name in GROUPS}
    groups["stop"] = _ending_like(groups["stop"], before.stop)
    spec = msgspec.structs.replace(spec, **groups)
    is_open = spec.data.zero_based == "auto"
    return with_index_base(spec, before.data.zero_based) if is_open else spec


def choices_between(asked: JobSpec, chosen: JobSpec) -> Choices:
    """Return the values of ``chosen`` in fields that ``asked`` leaves open, and that matter."""
    found: Choices = {}
    idle = () if chosen.algorithm is None else chosen.algorithm.idle_fields
    if isinstance(asked.data.scale, str):  # which says it
        idle = (*idle, "data.standardise")
    if asked.algorithm is None and chosen.algorithm is not None:
        found["algorithm.name"] = tag(chosen.algorithm)
        kind: Any = type(chosen.algorithm)  # a chosen one needs no field
        asked = msgspec.structs.replace(asked, algorithm=kind())
    for name in GROUPS:
        group, other = getattr(asked, name), getattr(chosen, name)
        values = {f"{name}.{field}": getattr(other, field) for field in open_fields_of(group)}
        found |= {
            path: value
            for path, value in values.items()
            if value is not None and path not in (*_OF_DATA, *idle)
        }
    return found


def _like(group: Any, other: Any) -> Any:
    if type(group) is not type(other):
        return group
    return filled(group, {name: getattr(other, name) for name in other.open_fields})


def _ending_like(stop: Stop, before: Stop) -> Stop:
    """Return ``stop`` with tolerance and patience of ``before``, unless it has its own."""
    if before.tolerance is None or stop.tolerance is not None or stop.patience is not None:
        return stop
    return msgspec.structs.replace(stop, tolerance=before.tolerance, patience=before.patience)
