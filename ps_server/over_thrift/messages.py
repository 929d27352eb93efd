"""The calls and refusals of the parameter server as the structs that Thrift's compiler wrote."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from thrift.Thrift import TApplicationException

from ps_server.generated.thrift_api import ParameterServer, ttypes
from ps_server.protocol import refusals
from ps_server.protocol.calls import (
    JobSettings,
    JobStatistics,
    Pushed,
    Registration,
    Statistics,
    StepStatus,
    Welcome,
)
from ps_server.protocol.refusals import (
    ContributionsMissing,
    InvalidRequest,
    MemoryExceeded,
    Refusal,
)
from stepml.job.step import Step

FRAME_BYTES = 2**24  # of a piece; each that a vector is cut into costs both sides a wake-up
METHODS = (
    "authenticate",
    "ping",
    "register_job",
    "exists",
    "push",
    "pull",
    "forget",
    "reset",
    "delete_jobs",
    "statistics",
)
ARGUMENTS: dict[str, Any] = {name: getattr(ParameterServer, f"{name}_args") for name in METHODS}
RESULTS: dict[str, Any] = {name: getattr(ParameterServer, f"{name}_result") for name in METHODS}

_MEMORY_FIELDS = ("needed_bytes", "free_bytes", "limit_bytes")
_RULES = {
    "bulk_synchronous": ttypes.Rule.BULK_SYNCHRONOUS,
    "asynchronous": ttypes.Rule.ASYNCHRONOUS,
    "stale_synchronous": ttypes.Rule.STALE_SYNCHRONOUS,
}
_COMPRESSIONS = {"none": ttypes.Compression.NONE, "float16": ttypes.Compression.FLOAT16}
_RULE_NAMES: dict[int, Any] = {number: name for name, number in _RULES.items()}
_COMPRESSION_NAMES: dict[int, Any] = {number: name for name, number in _COMPRESSIONS.items()}


def _refusal_fields(result: Any) -> dict[str, str]:
    """Return by which field of a result each exception travels, by its name."""
    return {
        field[3][0].__name__: field[2] for field in result.thrift_spec if field and field[0] != 0
    }


_REFUSAL_FIELDS = {name: _refusal_fields(result) for name, result in RESULTS.items()}


def step_of(step: Any) -> Step:
    """Return the step in a struct; one that was not read from a struct is returned as it is."""
    if isinstance(step, Step):
        return step
    if step is None or step.epoch is None or step.batch is None:
        raise InvalidRequest("step: expected an epoch and a batch, got none")
    return Step(step.epoch, step.batch)


def step_struct(step: Step) -> Any:
    return ttypes.Step(step.epoch, step.batch)


def settings_of(settings: Any) -> JobSettings:
    """Return the settings in a struct."""
    if settings is None or None in (
        settings.world_size,
        settings.message_bytes,
        settings.max_staleness,
        settings.server_update,
    ):
        raise InvalidRequest("settings: expected all fields of JobSettings, some are missing")
    return JobSettings(
        settings.world_size,
        settings.message_bytes,
        _RULE_NAMES.get(settings.rule, settings.rule),
        settings.max_staleness,
        _COMPRESSION_NAMES.get(settings.compression, settings.compression),
        settings.server_update,
    )


def settings_struct(settings: JobSettings) -> Any:
    return ttypes.JobSettings(
        settings.world_size,
        settings.message_bytes,
        _RULES[settings.rule],
        settings.max_staleness,
        _COMPRESSIONS[settings.compression],
        settings.server_update,
    )


def answer_struct(answer: object) -> Any:
    """Return what a call returned as it travels."""
    match answer:
        case Welcome():
            return ttypes.Welcome(answer.incarnation, answer.frame_bytes)
        case Registration():
            return ttypes.Registration(answer.incarnation, answer.is_new, answer.is_restored)
        case Pushed():
            return ttypes.Pushed(answer.is_repeated, answer.version, answer.staleness)
        case StepStatus():
            return ttypes.StepStatus([*answer.ranks], answer.is_complete)
        case Statistics():
            jobs = [ttypes.JobStatistics(**asdict(job)) for job in answer.jobs]
            return ttypes.Statistics(**{**_fields(answer), "jobs": jobs})
    return answer


def answer_of(struct: Any) -> Any:
    """Return what a call returned.

    Raises
    ------
    TProtocolException
        A field is missing.
    """
    if hasattr(struct, "validate"):
        struct.validate()
    match struct:
        case ttypes.Welcome():
            return Welcome(struct.incarnation, struct.frame_bytes)
        case ttypes.Registration():
            return Registration(struct.incarnation, struct.is_new, struct.is_restored)
        case ttypes.Pushed():
            return Pushed(struct.is_repeated, struct.version, struct.staleness)
        case ttypes.StepStatus():
            return StepStatus(tuple(struct.ranks), struct.is_complete)
        case ttypes.Statistics():
            for job in struct.jobs:
                job.validate()
            jobs = tuple(JobStatistics(**vars(job)) for job in struct.jobs)
            return Statistics(**{**vars(struct), "jobs": jobs})
    return struct


def refused(name: str, refusal: Refusal) -> Any:
    """Return the result of a call that was refused, or the error if it cannot tell that."""
    kind = type(refusal).__name__
    field = _REFUSAL_FIELDS[name].get(kind)
    if field is None:
        return TApplicationException(TApplicationException.INTERNAL_ERROR, kind)
    more: dict[str, Any] = {}
    if isinstance(refusal, MemoryExceeded):
        more = {each: getattr(refusal, each) for each in _MEMORY_FIELDS}
    if isinstance(refusal, ContributionsMissing):
        more = {"ranks": [*refusal.ranks], "frontier": refusal.frontier}
    struct = getattr(ttypes, kind)(message=str(refusal), **more)
    return RESULTS[name](**{field: struct})


def refusal_in(name: str, result: Any) -> Refusal | None:
    """Return why a call was refused, or None if it was not."""
    for kind, field in _REFUSAL_FIELDS[name].items():
        struct = getattr(result, field)
        if struct is None:
            continue
        if kind == "MemoryExceeded":
            return MemoryExceeded(
                struct.message, *(getattr(struct, each) for each in _MEMORY_FIELDS)
            )
        if kind == "ContributionsMissing":
            return ContributionsMissing(struct.message, struct.ranks, struct.frontier)
        found: Refusal = getattr(refusals, kind)(struct.message)
        return found
    return None


def _fields(answer: Any) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in answer.__dataclass_fields__}
