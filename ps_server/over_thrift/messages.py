"""The calls and refusals of the parameter server as the structs that Thrift's compiler wrote."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from thrift.Thrift import TApplicationException

from ps_server.generated.thrift_api import ParameterServer, ttypes
from ps_server.protocol import calls, refusals
from ps_server.protocol.calls import JobSettings
from ps_server.protocol.refusals import InvalidRequest, Refusal
from stepml.job.step import Step

FRAME_BYTES = 2**24  # of a piece; each that a vector is cut into costs both sides a wake-up
METHODS = (
    *("authenticate", "ping", "register_job", "exists", "push", "pull"),
    *("forget", "reset", "delete_jobs", "statistics"),
)
ARGUMENTS: dict[str, Any] = {name: getattr(ParameterServer, f"{name}_args") for name in METHODS}
RESULTS: dict[str, Any] = {name: getattr(ParameterServer, f"{name}_result") for name in METHODS}
_ENUMERATIONS = {"rule": ttypes.Rule, "compression": ttypes.Compression}


def _refusal_fields(result: Any) -> dict[str, str]:
    """Return the field of a result for each kind of refusal."""
    return {
        field[3][0].__name__: field[2] for field in result.thrift_spec if field and field[0] != 0
    }


_REFUSAL_FIELDS = {name: _refusal_fields(result) for name, result in RESULTS.items()}


def step_of(struct: Any) -> Step:
    """Return the step in a struct."""
    if struct is None or None in vars(struct).values():
        raise InvalidRequest("step: expected an epoch and a batch, got none")
    return Step(struct.epoch, struct.batch)


def settings_of(struct: Any) -> JobSettings:
    """Return the settings in a struct."""
    if struct is None or None in vars(struct).values():
        raise InvalidRequest("settings: expected all fields of JobSettings, some are missing")
    found = dict(vars(struct))
    for name, kind in _ENUMERATIONS.items():
        found[name] = kind._VALUES_TO_NAMES.get(found[name], str(found[name])).lower()
    return JobSettings(**found)


def struct_of(value: Any) -> Any:
    """Return a value of `ps_server.protocol.calls`, or a step, as the struct of the same name."""
    if isinstance(value, tuple):
        return [struct_of(each) for each in value]
    kind = getattr(ttypes, type(value).__name__, None)
    if kind is None:
        return value
    found = {field.name: struct_of(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, JobSettings):
        for name, enumeration in _ENUMERATIONS.items():
            found[name] = enumeration._NAMES_TO_VALUES[found[name].upper()]
    return kind(**found)


def value_of(struct: Any) -> Any:
    """Return the value of `ps_server.protocol.calls` in a struct.

    Raises
    ------
    TProtocolException
        A field is missing.
    """
    if isinstance(struct, list):
        return tuple(value_of(each) for each in struct)
    if not hasattr(struct, "thrift_spec"):
        return struct
    struct.validate()
    kind = getattr(calls, type(struct).__name__)
    return kind(**{name: value_of(value) for name, value in vars(struct).items()})


def refused(name: str, refusal: Refusal) -> Any:
    """Return the result of a refused call, or an error if the call's result has no such field."""
    kind = type(refusal).__name__
    field = _REFUSAL_FIELDS[name].get(kind)
    if field is None:
        return TApplicationException(TApplicationException.INTERNAL_ERROR, kind)
    others = {each: struct_of(getattr(refusal, each)) for each in refusal.fields}
    return RESULTS[name](**{field: getattr(ttypes, kind)(message=str(refusal), **others)})


def refusal_in(name: str, result: Any) -> Refusal | None:
    """Return the refusal in a result, if there is one."""
    for kind, field in _REFUSAL_FIELDS[name].items():
        struct = getattr(result, field)
        if struct is not None:
            made = getattr(refusals, kind)
            refusal: Refusal = made(
                struct.message, *(getattr(struct, each) for each in made.fields)
            )
            return refusal
    return None
