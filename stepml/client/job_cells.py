"""The cells of a job in a list of jobs, for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stepml.job.spec_base import tag
from stepml.records.execution import RUNNING, SUCCEEDED
from stepml.reports.figures import cost, duration, main_metric, shown

if TYPE_CHECKING:
    from stepml.client.listing import JobSummary
    from stepml.job.spec import JobSpec

HEAD = ("job", "status", "epochs", "time", "cost $")
FACTS = ("model", "algorithm", "channel × workers")  # and a metric
FAILED = frozenset({"FAILED", "TIMED_OUT"})


def head_cells(job: JobSummary) -> Sequence[str]:
    """Return the cells of `HEAD`."""
    dollars = "" if job.cost_usd is None else cost(job.cost_usd)
    return job.name, job.status.lower(), epochs_text(job), duration(job.seconds), dollars


def fact_cells(job: JobSummary, metric: str) -> Sequence[str]:
    """Return the cells of `FACTS`, and the metric; with its name unless that is ``metric``."""
    settings = ("no valid job", "", "") if job.spec is None else _settings(job.spec)
    name, value = measured(job)
    return (*settings, value if name in ("", metric) else f"{name} {value}")


def metric_name(jobs: Sequence[JobSummary]) -> str:
    """Return the metric of all jobs, or ``metric`` if they differ."""
    names = {measured(job)[0] for job in jobs if job.report is not None}
    return names.pop() if len(names) == 1 else "metric"


def epochs_text(job: JobSummary) -> str:
    """Return the number of finished epochs, of a running job also the most; perhaps empty."""
    if job.report is None and job.status == SUCCEEDED:
        return ""  # its results are deleted or unreadable
    most = None if job.spec is None else job.spec.stop.max_epochs
    is_running = job.status in RUNNING and most is not None
    return f"{job.epochs}/{most}" if is_running else str(job.epochs)


def measured(job: JobSummary) -> tuple[str, str]:
    """Return the name and the value of the metric by which a job judges; empty before any."""
    if job.report is None:
        return "", "results missing" if job.status == SUCCEEDED else ""
    name, value = main_metric(job.report)
    return (name, value) if name else ("loss", shown(job.report.loss, 4))


def job_row(job: JobSummary) -> dict[str, Any]:
    """Return a job as a document, or as a row of a data frame."""
    spec, report = job.spec, job.report
    algorithm = None if spec is None or spec.algorithm is None else tag(spec.algorithm)
    return {
        "job_id": job.name,
        "status": job.status,
        "started_at": job.started_at.isoformat(),
        "ended_at": job.ended_at.isoformat() if job.ended_at else None,
        "seconds": job.seconds,
        "model": tag(spec.model) if spec else None,
        "algorithm": algorithm,
        "channel": spec.exchange.channel if spec else None,
        "pattern": spec.exchange.pattern if spec else None,
        "workers": spec.workers if spec else None,
        "epochs": job.epochs,
        "loss": report.loss if report else None,
        "metrics": report.metrics if report else {},
        "cost_usd": job.cost_usd,
        "error": job.failure.error if job.failure else None,
        "message": job.failure.message if job.failure else None,
    }


def _settings(spec: JobSpec) -> tuple[str, ...]:
    algorithm = "" if spec.algorithm is None else tag(spec.algorithm)
    return tag(spec.model), algorithm, f"{spec.exchange.channel} × {spec.workers}"
