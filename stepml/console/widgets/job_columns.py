"""The columns of a list of jobs."""

from __future__ import annotations

from datetime import UTC

from stepml.client.job_cells import epochs_text, measured
from stepml.client.listing import JobSummary
from stepml.console.addresses import job_address, new_address
from stepml.console.jobs_shown import facts_of
from stepml.console.widgets.table import Cell, Column
from stepml.job.measures import LOSS
from stepml.records.execution import RUNNING
from stepml.reports.figures import cost, duration, shortened

MOST_OF_A_REASON = 110  # characters


def job_columns() -> list[Column[JobSummary]]:
    """Return the columns."""
    return [
        Column("job", "Job", _name, lambda job: job.name),
        Column("status", "Status", lambda job: Cell.of_status(job.status), lambda job: job.status),
        Column("epochs", "Epochs", _epochs, lambda job: job.epochs, True),
        Column("model", "Model", _model, lambda job: facts_of(job)["model"] or None),
        Column("channel", "Channel", _channel, lambda job: facts_of(job)["channel"] or None),
        Column("workers", "Workers", _workers, lambda job: job.spec and job.spec.workers, True),
        Column("metric", "Metric", _metric, _metric_value, True),
        Column("time", "Time", lambda job: Cell(duration(job.seconds)), _seconds, True),
        Column("cost", "Cost $", _cost, lambda job: job.cost_usd, True),
        Column("started", "Started", _started, lambda job: job.started_at, True),
        Column("again", "Again", lambda job: Cell("start again", new_address(job.name), "term")),
    ]


def _name(job: JobSummary) -> Cell:
    classes = "soft" if job.status == "ABORTED" else "bad"
    why = shortened(_line(job.why), MOST_OF_A_REASON)
    return Cell(job.name, job_address(job.name), "job-name", why, classes)


def _line(text: str) -> str:
    return " ".join(text.split())


def _epochs(job: JobSummary) -> Cell:
    most = None if job.spec is None else job.spec.stop.max_epochs
    is_running = job.status in RUNNING and most is not None
    return Cell(
        epochs_text(job).replace("/", " of "),
        share=min(1.0, job.epochs / most) if is_running and most else None,
    )


def _model(job: JobSummary) -> Cell:
    facts = facts_of(job)
    if job.spec is None:
        return Cell("no valid job", classes="soft")
    return Cell(facts["model"], classes="term", note=facts["algorithm"])


def _channel(job: JobSummary) -> Cell:
    pattern = None if job.spec is None else job.spec.exchange.pattern
    return Cell(facts_of(job)["channel"], note=pattern or "")


def _workers(job: JobSummary) -> Cell:
    return Cell("" if job.spec is None else str(job.spec.workers))


def _metric(job: JobSummary) -> Cell:
    name, value = measured(job)
    return Cell(value, note=name)


def _metric_value(job: JobSummary) -> float | None:
    name, _ = measured(job)
    if job.report is None or not name:
        return None
    return job.report.loss if name == LOSS else job.report.metrics[name]


def _cost(job: JobSummary) -> Cell:
    return Cell("" if job.cost_usd is None else cost(job.cost_usd))


def _seconds(job: JobSummary) -> float:
    return job.seconds


def _started(job: JobSummary) -> Cell:
    time = job.started_at.astimezone(UTC)
    return Cell(f"{time:%d %b %Y}", note=f"{time:%H:%M:%S} UTC")
