"""A run's job in words: its settings, and the command that repeats it."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import msgspec

from stepml.job.names import DEFAULT_STACK
from stepml.job.spec import JobSpec
from stepml.job.spec_base import SpecGroup, tag
from stepml.records.json_answers import json_object
from stepml.reports.data_facts import value_text
from stepml.reports.figures import count
from stepml.reports.run_record import RunRecord

Fact = tuple[str, str]


def settings(spec: JobSpec) -> list[Fact]:
    """Return the settings of a job; of a group's fields, those that differ from their defaults."""
    return [
        ("model", _named(spec.model)),
        ("algorithm", "chosen by StepML" if spec.algorithm is None else _named(spec.algorithm)),
        ("workers", str(spec.workers)),
        ("exchange", f"{spec.exchange.channel}, {_exchange(spec)}"),
        ("ends", _changed(spec.stop) or "when StepML chooses"),
        ("data", spec.data.uri),
        ("reading", _changed(spec.data, without=("uri",)) or "as StepML understands it"),
    ]


def in_short(spec: JobSpec) -> str:
    """Return model, algorithm, workers and channel of a job as a phrase."""
    algorithm = "" if spec.algorithm is None else f" by {tag(spec.algorithm)}"
    workers = count(spec.workers, "worker")
    return f"{tag(spec.model)}{algorithm} on {workers} over {spec.exchange.channel}"


def flags(record: RunRecord) -> str:
    """Return the options of commands for the stack of a run: `` --local``."""
    stack, region = record.environment.get("stack", ""), record.environment.get("region", "")
    where = " --local" if record.is_local else f" --region {region}" if region else ""
    return where if stack in ("", DEFAULT_STACK) else f"{where} --stack {stack}"


def repeating_command(record: RunRecord) -> str:
    """Return a command for the shell that starts the same job, or "" if there is no valid job."""
    if record.spec is None:
        return ""
    job = json_object(record.job) or _given(record.spec)
    text = json.dumps(job, indent=2, ensure_ascii=False)
    return f"stepml run -{flags(record)} <<'JOB'\n{text}\nJOB"


def _given(spec: JobSpec) -> dict[str, Any]:
    """Return a job without the fields that are null."""
    built: dict[str, Any] = msgspec.to_builtins(spec)
    return {
        name: {key: each for key, each in value.items() if each is not None}
        if isinstance(value, dict)
        else value
        for name, value in built.items()
        if value is not None
    }


def _named(group: SpecGroup) -> str:
    changed = _changed(group)
    return f"{tag(group)}: {changed}" if changed else tag(group)


def _exchange(spec: JobSpec) -> str:
    changed = _changed(spec.exchange, without=("channel", "pattern"))
    return f"{spec.exchange.pattern}, {changed}" if changed else spec.exchange.pattern


def _changed(group: SpecGroup, without: tuple[str, ...] = ()) -> str:
    """Return the fields of a group that differ from their defaults, with their values."""
    return ", ".join(
        f"{each.name} {_value(getattr(group, each.name))}"
        for each in _fields(type(group))
        if each.name not in without and getattr(group, each.name) != _default(each)
    )


@cache
def _fields(kind: type[SpecGroup]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(kind)  # which evaluates its annotations each time


def _default(field: msgspec.structs.FieldInfo) -> object:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _value(value: Any) -> str:
    if isinstance(value, bool | int | float | str):
        return value_text(value)
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=False)
