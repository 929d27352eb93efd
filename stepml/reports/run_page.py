"""The report on one run as a page of HTML: how it learnt, and where its time and money went."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stepml.job.reports import EpochReport, JobReport
from stepml.job.spec_base import label_text
from stepml.reports import job_facts, traffic
from stepml.reports.costs import cost_chart, preparation_chart
from stepml.reports.data_facts import data_facts, value_text
from stepml.reports.epoch_table import epoch_values
from stepml.reports.figures import LOCAL_BASIS, cost, count, on_its_own
from stepml.reports.fragments import Page
from stepml.reports.learning_curves import communication_curve, learning_curves
from stepml.reports.pages import page
from stepml.reports.phases import phase_chart
from stepml.reports.run_head import head_values, judged_rows
from stepml.reports.run_record import RunRecord
from stepml.reports.timelines import (
    ORDER_TEXT,
    Timeline,
    epoch_words,
    functions_of,
    time_by_epoch,
    timelines,
)

FILE = "report.html"
MOST_CLASSES = 40  # in the confusion matrix
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
    return Page(run_page(record), record.job_id).save(directory / FILE)


def _values(record: RunRecord) -> dict[str, Any]:
    return {
        **head_values(record),
        **_learning(record),
        **_time(record),
        **epoch_values(record),
        **job_values(record),
        "cost_chart": cost_chart(record),
        "preparation_chart": preparation_chart(record),
        "cost_text": cost_text(record),
    }


def _learning(record: RunRecord) -> dict[str, Any]:
    final, report = record.final, record.model_report
    return {
        "measures_title": f"The model on the {judged_rows(record)} rows",
        "measures": [] if report is None else _measures(report),
        "curves": learning_curves(record.epochs, judged_rows(record)),
        "classes": [] if final is None else _classes(final),
        "confusion": None if final is None else _confusion(final),
    }


def _measures(report: EpochReport) -> list[tuple[str, str]]:
    values = {"loss": on_its_own(report.loss, 6)}
    return list((values | {name: on_its_own(x, 4) for name, x in report.metrics.items()}).items())


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
        "time_text": time_text(record),
        "traffic_header": traffic.HEADER,
        "traffic": traffic.traffic_rows(
            each for report in reports for each in functions_of(report, record.functions)
        ),
        "timelines": [_timeline(each) for each in found],
        "timelines_text": _timelines_text(reports, found),
    }


def time_text(record: RunRecord) -> str:
    """Return the meaning of each part of the time of ranks."""
    share = record.communication_share
    if share is None:
        return "This run measured each rank's whole time, not its parts."
    return (
        f"Communication is {share:.0%} of the ranks' time after their start: encode, wait (for "
        "other ranks), transfer and merge. Start is the time until a function's first line, cold "
        "start the part of it in which a new function loads its code."
    )


def _timelines_text(reports: Sequence[EpochReport], found: Sequence[Timeline]) -> str:
    if len(found) == len(reports):
        return ORDER_TEXT
    which = "the first, the last, the slowest, those with stragglers, and others between them"
    return f"{len(found)} of {len(reports)} epochs: {which}. {ORDER_TEXT}"


def _timeline(timeline: Timeline) -> dict[str, Any]:
    report = timeline.report
    left_out = f"{count(timeline.left_out, 'rank')} left out." if timeline.left_out else ""
    return {"title": epoch_words(report), "note": left_out, "chart": timeline.chart}


def job_values(record: RunRecord) -> dict[str, Any]:
    """Return the values of the template for the job: its settings, its data, its place."""
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


def cost_text(record: RunRecord) -> str:
    """Return the basis of the costs of a run."""
    servers = record.final.servers_usd if record.final is not None else 0.0
    beside = f" Servers of the stack cost $ {cost(servers)} beside it." if servers else ""
    if record.is_local:
        return f"An estimate: {LOCAL_BASIS}. Nothing was charged.{beside}"
    return f"An estimate at the list prices of us-east-1.{beside}"
