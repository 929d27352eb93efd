"""The events of a followed job, as JSON objects; docs/json_lines.md describes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from stepml.job.reports import total_cost_usd
from stepml.reports.figures import finished

if TYPE_CHECKING:
    from stepml.job.reports import EpochReport, JobReport
    from stepml.records.execution import Execution
    from stepml.records.failures import Failure

Event = dict[str, Any]


def started_event(execution: Execution) -> Event:
    """Return the event of a job that has started, or is watched from now on."""
    return {"event": "started", "job_id": execution.name, "execution_arn": execution.arn}


def epoch_event(job_id: str, report: EpochReport) -> Event:
    """Return the event of a finished epoch: its report, without the times of each function."""
    document = msgspec.to_builtins(report)
    del document["functions"]
    decision = finished(report.decision)
    return {"event": "epoch", "job_id": job_id, **document, "decision": decision}


def failed_attempt_event(job_id: str, failure: Failure) -> Event:
    """Return the event of a failed attempt at an epoch, which is repeated."""
    return {
        "event": "failed_attempt",
        "job_id": job_id,
        "epoch": failure.epoch,
        "error": failure.error,
        "message": failure.message,
        "rank": failure.rank,
        "log_group": failure.log_group,
        "log_stream": failure.log_stream,
    }


def result_event(
    execution: Execution, status: str, report: JobReport, files: Mapping[str, Path]
) -> Event:
    """Return the event of a job that has a model; ``files`` are the paths of its results."""
    return {
        "event": "result",
        "job_id": report.job_id,
        "execution_arn": execution.arn,
        "status": status,
        "decision": finished(report.decision),
        "reason": report.reason,
        "epochs": report.epochs,
        "model_epoch": report.model_epoch,
        "loss": report.loss,
        "metrics": report.metrics,
        "seconds": report.seconds,
        "active_seconds": report.history[-1].active_seconds,
        "cost_usd": total_cost_usd(report),
        "servers_usd": report.servers_usd,
        "dataset": msgspec.to_builtins(report.dataset),
        "warnings": msgspec.to_builtins(report.warnings),
        "kept": report.kept,
        "files": {what: str(path) for what, path in files.items()},
    }


def error_event(execution: Execution, status: str, failure: Failure) -> Event:
    """Return the event of a job that has ended without a model."""
    return {
        "event": "error",
        "error": failure.error,
        "message": failure.message,
        "job_id": execution.name,
        "execution_arn": execution.arn,
        "status": status,
        "rank": failure.rank,
        "epoch": failure.epoch,
        "state": failure.state,
        "log_group": failure.log_group,
        "log_stream": failure.log_stream,
    }
