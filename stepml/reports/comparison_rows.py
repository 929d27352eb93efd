"""A comparison as rows for tables, and as a document for programs."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Any

from stepml.job.reports import EpochReport
from stepml.reports.comparison import Comparison, Row
from stepml.reports.run_record import RunRecord

_OF_EPOCH = (
    "epoch",
    "seconds",  # of training up to the end of the epoch
    "cost_usd",  # of the job up to it
    "epoch_seconds",
    "epoch_cost_usd",
    "communication_share",
    "training_loss",
    "loss",
)


def epoch_table(comparison: Comparison) -> tuple[list[str], list[list[Any]]]:
    """Return the names of columns, and a row for each epoch of each run.

    Beside the epoch's values, a row has the run's name, and its settings that others have not.
    """
    runs = comparison.runs
    metrics = list(dict.fromkeys(m for run in runs for each in run.epochs for m in each.metrics))
    header = ["run", *(row.name for row in comparison.differences), *_OF_EPOCH, *metrics]
    rows = [
        [run.job_id, *settings, *_values(report), *map(report.metrics.get, metrics)]
        for index, run in enumerate(runs)
        for settings in ([row.values[index] for row in comparison.differences],)
        for report in run.epochs
    ]
    return header, rows


def csv_text(comparison: Comparison) -> str:
    """Return `epoch_table` as CSV with a header; values that are unknown are empty."""
    header, rows = epoch_table(comparison)
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([[_cell(value) for value in row] for row in rows])
    return text.getvalue()


def document(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as a JSON document; numbers are as they were measured."""
    return {
        "runs": [_run(run) for run in comparison.runs],
        "measure": comparison.measure,
        "level": comparison.level,
        "differences": _by_name(comparison.differences),
        "results": _by_name(comparison.results),
        "parts": _by_name(comparison.parts),
        "to_level": _by_name(comparison.to_level),
        "notes": comparison.notes,
        "cost_basis": comparison.cost_basis,
    }


def _run(run: RunRecord) -> dict[str, Any]:
    columns = [*_OF_EPOCH, "metrics"]
    return {
        "job_id": run.job_id,
        "status": run.status,
        "epochs": [
            dict(zip(columns, [*_values(each), each.metrics], strict=True)) for each in run.epochs
        ],
    }


def _values(report: EpochReport) -> Sequence[Any]:
    return (
        report.epoch,
        report.active_seconds,
        report.total_cost_usd,
        report.seconds,
        report.cost_usd,
        report.communication_share,
        report.training_loss,
        report.loss,
    )


def _by_name(rows: Iterable[Row]) -> dict[str, list[Any]]:
    return {row.name: row.values for row in rows}


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, bool | list | dict) else value
