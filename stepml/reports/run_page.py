"""The report on one run as a page of HTML: how it learnt, and where its time and money went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stepml.client.failures import Failure
from stepml.job.reports import EpochReport, JobReport
from stepml.job.spec_base import label_text
from stepml.reports import job_facts
from stepml.reports.costs import cost_chart
from stepml.reports.data_facts import data_facts, value_text
from stepml.reports.figures import cost, count, duration, main_metric, on_its_own, shown
from stepml.reports.learning_curves import communication_curve, learning_curves
from stepml.reports.pages import page, time_text
from stepml.reports.phases import phase_chart
from stepml.reports.run_record import RunRecord
from stepml.reports.timelines import Timeline, time_by_epoch, timelines

FILE = "report.html"
MOST_EPOCH_ROWS = 200
MOST_CLASSES = 40  # in the confusion matrix
MOST_FAILED_ROWS = 100
LOCAL_BASIS = "AWS list prices × local seconds"
_STATUSES = {  # as the page words them, each with the class of its colour
    "SUCCEEDED": ("finished", "good"),
    "FAILED": ("failed", "bad"),
    "TIMED_OUT": ("out of time", "bad"),
    "ABORTED": ("stopped", "note"),
    "RUNNING": ("running", "note"),
    "PENDING_REDRIVE": ("waiting for its retry", "note"),
}
_ENVIRONMENT = {
    "stepml": "StepML",
    "python": "Python of the functions",
    "numpy": "NumPy",
    "machine": "processor",
    "blas_core": "kernels of BLAS",
    "blas_threads": "threads of BLAS",
    "numpy_simd": "instructions of NumPy",
    "stack": "stack",
    "region": "region",
    "memory_mb": "memory of an executor, MB",
}


def run_page(record: RunRecord) -> str:
    """Return the report on a run as one file of HTML."""
    return page("run.html.j2", page=_values(record))


def write_run_page(record: RunRecord, directory: Path) -> Path:
    """Write the report on a run to ``report.html`` of a directory, and return its path.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / FILE
    path.write_text(run_page(record), encoding="utf-8")
    return path


def _values(record: RunRecord) -> dict[str, Any]:
    return {
        **_head(record),
        **_learning(record),
        **_time(record),
        **_epochs(record),
        **_job(record),
        "cost_chart": cost_chart(record),
        "cost_text": _cost_text(record),
    }


def _head(record: RunRecord) -> dict[str, Any]:
    status, colour = _STATUSES.get(record.status, (record.status.lower(), "note"))
    final = record.final
    if final is not None and record.status == "SUCCEEDED" and final.decision == "converged":
        status = final.decision
    return {
        "name": record.job_id,
        "status": status,
        "status_class": colour,
        "reason": final.reason if final is not None and record.failure is None else "",
        "summary": _summary(record),
        "failure": None if record.failure is None else _failure(record, record.failure),
        "tiles": _tiles(record),
        "warnings": _warnings(record),
    }


def _summary(record: RunRecord) -> str:
    parts = [] if record.spec is None else [job_facts.in_short(record.spec)]
    if record.started_at is not None:
        parts.append(f"started {time_text(record.started_at)}")
    return "; ".join(parts)


def _failure(record: RunRecord, failure: Failure) -> dict[str, Any]:
    name, flags = record.job_id, job_facts.flags(record)
    who = failure.state if failure.rank is None else f"rank {failure.rank}"
    where = " ".join(filter(None, [who, f"in epoch {failure.epoch}" if failure.epoch else ""]))
    log = f"log stream {failure.log_stream} of {failure.log_group}" if failure.log_stream else ""
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


def _tiles(record: RunRecord) -> list[dict[str, str]]:
    report, final = record.model_report, record.final
    tiles: list[tuple[str, str, str]] = []
    if report is not None:
        name, value = main_metric(report)
        tiles = [(f"{_rows(record)} loss", on_its_own(report.loss, 6), "")]
        tiles += [(f"{_rows(record)} {name}", value, "")] if name else []
        best = final is not None and final.model_epoch not in (0, final.epochs)
        kept = f"model of epoch {report.epoch}" if best else ""
        tiles.append(("epochs", str(len(record.epochs)), kept))
    if record.seconds is not None:
        tiles.append(("time", duration(record.seconds), ""))
    if record.cost_usd is not None:
        basis = LOCAL_BASIS if record.is_local else "estimated"
        tiles.append(("cost", f"$\N{NO-BREAK SPACE}{cost(record.cost_usd)}", basis))
    if record.communication_share is not None:
        tiles.append(("communication", f"{record.communication_share:.0%}", "of the ranks' time"))
    return [{"name": name, "value": value, "note": note} for name, value, note in tiles]


def _rows(record: RunRecord) -> str:
    has_validation = record.spec is None or record.spec.data.validation_fraction
    return "validation" if has_validation else "training"


def _warnings(record: RunRecord) -> list[str]:
    found = record.final.warnings if record.final is not None else []
    known = found or (record.dataset.warnings if record.dataset is not None else [])
    return [each.text for each in known]


def _learning(record: RunRecord) -> dict[str, Any]:
    final = record.final
    return {
        "curves": learning_curves(record.epochs, _rows(record)),
        "classes": [] if final is None else _classes(final),
        "confusion": None if final is None else _confusion(final),
    }


def _classes(final: JobReport) -> list[list[str]]:
    return [
        [
            label_text(each.label),
            f"{each.precision:.4f}",
            f"{each.recall:.4f}",
            f"{each.f1:.4f}",
            f"{each.support:,}",
        ]
        for each in final.per_class
    ]


def _confusion(final: JobReport) -> dict[str, Any] | None:
    matrix, labels = final.confusion_matrix, [label_text(each.label) for each in final.per_class]
    if not 0 < len(matrix) <= MOST_CLASSES or len(labels) != len(matrix):
        return None
    shares = [
        [(f"{number:,}", f"{number / max(1, sum(row)):.3f}") for number in row] for row in matrix
    ]
    return {"labels": labels, "rows": list(zip(labels, shares, strict=True))}


def _time(record: RunRecord) -> dict[str, Any]:
    reports = record.epochs
    found = timelines(reports, record.functions)
    return {
        "phase_chart": phase_chart(record),
        "time_chart": time_by_epoch(reports),
        "communication_chart": communication_curve(reports),
        "time_text": _time_text(record),
        "timelines": [_timeline(each) for each in found],
        "timelines_text": _timelines_text(reports, found),
    }


def _time_text(record: RunRecord) -> str:
    share = record.communication_share
    if share is None:
        return "This run measured each rank's whole time, not its parts."
    return (
        f"Communication is {share:.0%} of the ranks' time after their start: encode, wait (for "
        "other ranks), transfer and merge. Start is the time until a function's first line, cold "
        "start the part of it in which a new function loads its code."
    )


def _timelines_text(reports: Sequence[EpochReport], found: Sequence[Timeline]) -> str:
    which = "" if len(found) == len(reports) else f"{len(found)} of {len(reports)} epochs: "
    chosen = f"{which}the first and the last, the slowest, and those with stragglers. "
    order = (
        "A function goes back and forth between its parts; each is drawn as one total, in the "
        "order in which they begin."
    )
    return (chosen if len(found) < len(reports) else "") + order


def _timeline(timeline: Timeline) -> dict[str, Any]:
    report = timeline.report
    stragglers = f", stragglers: {_listed(report.stragglers)}" if report.stragglers else ""
    again = f", called again: {_listed(report.called_again)}" if report.called_again else ""
    title = f"Epoch {report.epoch}: {duration(report.seconds)}{stragglers}{again}"
    left_out = f"{count(timeline.left_out, 'rank')} left out." if timeline.left_out else ""
    return {"title": title, "note": left_out, "chart": timeline.chart}


def _listed(ranks: Sequence[int]) -> str:
    more = f" and {len(ranks) - 5} more" if len(ranks) > 5 else ""
    return f"rank{'' if len(ranks) == 1 else 's'} {', '.join(map(str, ranks[:5]))}{more}"


def _epochs(record: RunRecord) -> dict[str, Any]:
    reports, failed = record.epochs, record.failed_attempts
    columns = _columns(reports)
    return {
        "epochs": [[cell(each) for cell in columns.values()] for each in _ends(reports)],
        "epochs_header": list(columns),
        "epochs_title": _epochs_title(reports),
        "attempts_text": _attempts_text(record),
        "failed": [
            [
                str(each.epoch),
                str(each.number),
                each.status.lower(),
                each.failure.with_rank if each.failure is not None else "",
            ]
            for each in failed[:MOST_FAILED_ROWS]
        ],
    }


def _ends(reports: Sequence[EpochReport]) -> list[EpochReport]:
    if len(reports) <= MOST_EPOCH_ROWS:
        return list(reports)
    half = MOST_EPOCH_ROWS // 2
    return [*reports[:half], *reports[-half:]]


def _epochs_title(reports: Sequence[EpochReport]) -> str:
    left_out = len(reports) - MOST_EPOCH_ROWS
    if left_out <= 0:
        return f"All {len(reports)} epochs" if len(reports) > 1 else "The epoch"
    return f"{len(reports)} epochs, without {left_out} in the middle; history.jsonl has them"


def _columns(reports: Sequence[EpochReport]) -> dict[str, Callable[[EpochReport], str]]:
    """Return the columns of the table of epochs: header and cell; some runs lack some of them."""
    metric = next((main_metric(each)[0] for each in reports), "")
    columns: dict[str, Callable[[EpochReport], str]] = {
        "epoch": lambda each: str(each.epoch),
        "loss": lambda each: shown(each.loss, 6),
        "training loss": lambda each: shown(each.training_loss, 6),
    }
    if metric:
        columns[metric] = lambda each: main_metric(each)[1]
    columns["seconds"] = lambda each: f"{each.seconds:.2f}"
    if any(each.communication_share is not None for each in reports):
        columns["communication"] = lambda each: f"{each.communication_share or 0.0:.0%}"
    return {**columns, "$": lambda each: cost(each.cost_usd), "note": _notes}


def _notes(report: EpochReport) -> str:
    notes = [
        "" if report.decision == "continue" else report.reason,
        f"stragglers: {_listed(report.stragglers)}" if report.stragglers else "",
        f"called again: {_listed(report.called_again)}" if report.called_again else "",
    ]
    return "; ".join(filter(None, notes))


def _attempts_text(record: RunRecord) -> str:
    attempts, failed = record.attempts, record.failed_attempts
    if not attempts:
        return "The attempts are unknown here: this directory has no run.json."
    taken = min(each.epoch for each in attempts) - 1
    before = f" The first {count(taken, 'epoch')} came from another run." if taken else ""
    if not failed:
        return f"Each epoch succeeded at its first attempt.{before}"
    n_epochs = len({each.epoch for each in attempts})
    return (
        f"{count(len(attempts), 'attempt')} at {count(n_epochs, 'epoch')}; "
        f"{len(failed)} of them did not succeed.{before}"
    )


def _job(record: RunRecord) -> dict[str, Any]:
    spec, dataset = record.spec, record.dataset
    facts = [] if dataset is None or not dataset.rows else data_facts(dataset)
    choices = {} if dataset is None else dataset.choices
    return {
        "settings": [("job", "not valid")] if spec is None else job_facts.settings(spec),
        "data": [(name, text) for name, text in facts if name not in ("note", "chosen")],
        "notes": [text for name, text in facts if name == "note"],
        "choices": [(path, value_text(value)) for path, value in choices.items()],
        "repeat_text": _repeat_text(record),
        "repeat": job_facts.repeating_command(record),
        "environment": [
            (_ENVIRONMENT.get(name, name), text) for name, text in record.environment.items()
        ],
    }


def _repeat_text(record: RunRecord) -> str:
    if record.spec is None:
        return "The job is not valid; it has to be corrected first."
    if record.spec.exchange.pattern == "async":
        return "Ranks change one model in turn, so another run learns in another order."
    return "The same data and seed give the same model to the last bit on the same kernels."


def _cost_text(record: RunRecord) -> str:
    servers = record.final.servers_usd if record.final is not None else 0.0
    beside = f" Servers of the stack cost $ {cost(servers)} beside it." if servers else ""
    if record.is_local:
        return f"An estimate: {LOCAL_BASIS}. Nothing was charged.{beside}"
    return f"An estimate at the list prices of us-east-1.{beside}"
