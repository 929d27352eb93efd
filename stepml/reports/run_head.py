"""The head of the report on a run: status, failure, the most important numbers, warnings."""

from __future__ import annotations

from typing import Any

from stepml.records.failures import Failure
from stepml.reports import job_facts
from stepml.reports.figures import LOCAL_BASIS, cost, duration, main_metric, on_its_own
from stepml.reports.pages import time_text
from stepml.reports.run_record import RunRecord

_STATUSES = {  # as the page words them, each with the class of its colour
    "SUCCEEDED": ("finished", "good"),
    "FAILED": ("failed", "bad"),
    "TIMED_OUT": ("out of time", "bad"),
    "ABORTED": ("stopped", "note"),
    "RUNNING": ("running", "note"),
    "PENDING_REDRIVE": ("waiting for its retry", "note"),
}


def head_values(record: RunRecord) -> dict[str, Any]:
    """Return the values of the template for the head."""
    status, colour = status_words(record)
    final = record.final
    return {
        "name": record.job_id,
        "status": status,
        "status_class": colour,
        "reason": final.reason if final is not None and record.failure is None else "",
        "summary": _summary(record),
        "failure": None if record.failure is None else _failure(record, record.failure),
        "tiles": tiles(record),
        "warnings": warning_texts(record),
    }


def status_words(record: RunRecord) -> tuple[str, str]:
    """Return the status of a run in words, and the class of its colour: good, bad or note."""
    final = record.final
    if final is not None and record.status == "SUCCEEDED" and final.decision == "converged":
        return final.decision, "good"
    return status_of(record.status)


def status_of(status: str) -> tuple[str, str]:
    """Return the status of an execution likewise."""
    return _STATUSES.get(status, (status.lower(), "note"))


def _summary(record: RunRecord) -> str:
    parts = [] if record.spec is None else [job_facts.in_short(record.spec)]
    if record.started_at is not None:
        parts.append(f"started {time_text(record.started_at)}")
    return "; ".join(parts)


def place_of(failure: Failure) -> str:
    """Return the rank or state, and the epoch, of a failure in words."""
    who = failure.state if failure.rank is None else f"rank {failure.rank}"
    return " ".join(filter(None, [who, f"in epoch {failure.epoch}" if failure.epoch else ""]))


def log_of(failure: Failure) -> str:
    """Return the log of a failed function in words, or "" if it is unknown."""
    if not failure.log_stream:
        return ""
    return f"log stream {failure.log_stream} of {failure.log_group}"


def _failure(record: RunRecord, failure: Failure) -> dict[str, Any]:
    name, flags = record.job_id, job_facts.flags(record)
    where = place_of(failure)
    log = log_of(failure)
    of_rank = "" if failure.rank is None else f" --rank {failure.rank}"
    commands = [f"stepml logs {name}{of_rank}{flags}"]
    if not failure.needs_change:
        commands.append(f"stepml retry {name}{flags}")
    return {
        "error": failure.error,
        "message": failure.message,
        "lines": [line for line in (where, log) if line],
        "commands": commands,
    }


def tiles(record: RunRecord) -> list[dict[str, str]]:
    """Return the most important numbers of a run, each with a ``name``, ``value`` and ``note``."""
    report, final = record.model_report, record.final
    found: list[tuple[str, str, str]] = []
    if report is not None:
        name, value = main_metric(report)
        found = [(f"{judged_rows(record)} loss", on_its_own(report.loss, 6), _best(record))]
        found += [(f"{judged_rows(record)} {name}", value, "")] if name else []
        best = final is not None and final.model_epoch not in (0, final.epochs)
        kept = f"model of epoch {report.epoch}" if best else ""
        found.append(("epochs", str(len(record.epochs)), kept))
    if record.seconds is not None:
        found.append(("time", duration(record.seconds), ""))
    if record.cost_usd is not None:
        basis = LOCAL_BASIS if record.is_local else "estimated"
        found.append(("cost", f"$\N{NO-BREAK SPACE}{cost(record.cost_usd)}", basis))
    if record.communication_share is not None:
        found.append(("communication", f"{record.communication_share:.0%}", "of the ranks' time"))
    return [{"name": name, "value": value, "note": note} for name, value, note in found]


def _best(record: RunRecord) -> str:
    """Return the lowest loss so far, if the loss of a job without a model has risen since."""
    report = record.model_report
    if report is None or record.final is not None or report.best_loss >= report.loss:
        return ""
    return f"lowest {on_its_own(report.best_loss, 6)}"


def judged_rows(record: RunRecord) -> str:
    """Return the name of the rows on which a run is judged."""
    has_validation = record.spec is None or record.spec.data.validation_fraction
    return "validation" if has_validation else "training"


def warning_texts(record: RunRecord) -> list[str]:
    """Return the warnings on a run's data and model."""
    found = record.final.warnings if record.final is not None else []
    known = found or (record.dataset.warnings if record.dataset is not None else [])
    return [each.text for each in known]
