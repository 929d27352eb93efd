"""Facts of a run as trackers write them: flat parameters, tags, and numbers of each epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from stepml.job.reports import total_cost_usd
from stepml.job.spec_base import tag
from stepml.reports.epoch_rows import report_row

if TYPE_CHECKING:
    from stepml.client import Run
    from stepml.job.reports import EpochReport, JobReport
    from stepml.job.spec import JobSpec
    from stepml.reports.run_record import RunRecord

Parameter = bool | int | float | str


def parameters(spec: JobSpec | None) -> dict[str, Parameter]:
    """Return the fields of a job by their paths, such as ``algorithm.learning_rate``.

    Fields that are not chosen yet are left out; lists and mappings of columns are text.
    """
    return {} if spec is None else dict(_flat(msgspec.to_builtins(spec)))


def identity(run: Run, record: RunRecord) -> dict[str, str]:
    """Return the facts that no other run shares: on the local AWS, an ARN may be used again."""
    started_at = "" if record.started_at is None else record.started_at.isoformat()
    return {"job_id": run.name, "execution_arn": run.arn, "started_at": started_at}


def tags(record: RunRecord) -> dict[str, str]:
    """Return the facts by which runs are grouped."""
    spec = record.spec
    found: dict[str, Any] = {}
    if spec is not None:
        found = {
            "model": tag(spec.model),
            "algorithm": None if spec.algorithm is None else tag(spec.algorithm),
            "channel": spec.exchange.channel,
            "pattern": spec.exchange.pattern,
            "resumes": None if spec.resumed is None else spec.resumed.job,
        }
    found["local"] = str(record.is_local).lower()
    found |= {name: record.environment.get(name) for name in ("stack", "region")}
    return {name: str(value) for name, value in found.items() if value}


def metrics(report: EpochReport) -> dict[str, float]:
    """Return the numbers of an epoch: loss, metrics, seconds, costs, share of communication."""
    row = report_row(report).items()
    return {name: float(value) for name, value in row if isinstance(value, int | float)}


def final_metrics(report: JobReport) -> dict[str, float]:
    """Return the numbers of a job that has ended with a model: its time and cost as a whole."""
    return {
        "job_seconds": report.seconds,
        "job_cost_usd": total_cost_usd(report),
        "model_epoch": float(report.model_epoch or report.epochs),
        "model_loss": report.loss,
        **{f"model_{name}": value for name, value in report.metrics.items()},
    }


def _flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Parameter]]:
    for name, value in fields.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}.")
        elif isinstance(value, bool | int | float | str):
            yield path, value
        elif value is not None:
            yield path, msgspec.json.encode(value).decode()
