"""Downloads the results of a job that has a model, and shows them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stepml.cli.data_lines import warning_line
from stepml.cli.display import rank_notes
from stepml.cli.errors import DOUBTFUL, INTERRUPTED, NO_SERVICE
from stepml.cli.figures import accuracy_lines, cost, count, finished, on_its_own
from stepml.cli.folding import folded
from stepml.cli.machine import reason_of
from stepml.cli.options import Target
from stepml.cli.output import Output
from stepml.cli.report import write_report
from stepml.client import Run, Snapshot
from stepml.job import keys
from stepml.job.errors import DoubtfulResultError
from stepml.job.reports import JobReport, total_cost_usd
from stepml.records.errors import AccessError, ReportUnreadableError
from stepml.reports.events import result_event
from stepml.reports.figures import LOCAL_BASIS


def show_results(
    run: Run,
    last: Snapshot,
    target: Target,
    out: Path,
    output: Output,
    more: Mapping[str, Any],
    strict: bool,
) -> int:
    """Download the results of a job that has a model, show them, and return the exit code.

    ``more`` is added to the result in JSON. A problem on the way is not one of the job. If
    ``strict``, warnings are one.
    """
    directory = out / run.name
    try:
        report = _report(run)
        files = run.download(directory)
        files |= write_report(run, directory, output, report)
    except (AccessError, ReportUnreadableError) as error:
        reason, code = f"its results cannot be fetched: {error}", NO_SERVICE
    except OSError as error:
        reason, code = f"its model cannot be stored in {directory}: {reason_of(error)}", NO_SERVICE
    except KeyboardInterrupt:
        reason, code = "fetching its results was interrupted", INTERRUPTED
    else:
        doubt = _doubt(report) if strict else {}
        event = result_event(run.execution, last.state.status, report, files)
        output.json_line({**event, **doubt, **more})
        _show(report, last, files, run, target, output)
        if doubt:
            output.complaint(f"{doubt['error']}: {doubt['message']}")
        return DOUBTFUL if doubt else 0
    _show_unfetched(run, last, reason, target, output)
    return code


def _report(run: Run) -> JobReport:
    report = run.result
    if report is None:
        raise ReportUnreadableError("there is no report in the bucket")
    return report


def _show_unfetched(run: Run, last: Snapshot, reason: str, target: Target, output: Output) -> None:
    uri = f"s3://{run.stack.bucket}/{keys.model(run.name)}"
    again = f"stepml watch {run.name} --out DIRECTORY{target.flags}"
    output.error(
        "ResultsNotFetchedError",
        f"{run.name} has succeeded, but {reason}",
        (f"the model is {uri}", f"fetch it: {again}"),
        event="error",
        job_id=run.name,
        execution_arn=run.arn,
        status=last.state.status,
        model_uri=uri,
    )


def _show(
    report: JobReport,
    last: Snapshot,
    files: Mapping[str, Path],
    run: Run,
    target: Target,
    output: Output,
) -> None:
    output.line()
    for line in folded(f"{report.job_id}: {_ending(report)}"):
        output.line(line)
    for line in accuracy_lines(report.per_class):
        output.line(line)
    rows = "validation" if report.spec.data.validation_fraction else "training"
    output.pairs(
        {
            f"{rows} loss": on_its_own(report.loss, 6),
            **{f"{rows} {each}": on_its_own(x, 4) for each, x in report.metrics.items()},
            **_skipped(report),
            **_kept(report),
            "time": f"{report.seconds:.1f} s",
            "cost": f"$ {cost(total_cost_usd(report))}{_basis(run)}",
            **_servers(report),
            **_look_further(report, last, target),
            "model": files["model"],
            "model card": files["model_card"],
            "report": files.get("page", files["report"]),
        }
    )
    # Those on the data were shown before training.
    for each in report.warnings:
        if each not in report.dataset.warnings:
            output.complaint(warning_line(each))


def _ending(report: JobReport) -> str:
    """Return how a job ended, and why: ``finished: max_epochs 10 reached``."""
    how = finished(report.decision)
    if report.reason != f"max_epochs {report.epochs} reached":  # which says the number
        how = f"{how} after {count(report.epochs, 'epoch')}"
    return f"{how}: {report.reason}"


def _look_further(report: JobReport, last: Snapshot, target: Target) -> dict[str, str]:
    """Return a line on the attempts at epochs, if one failed or was delayed."""
    if not last.failed_attempts and not any(map(rank_notes, report.history)):
        return {}
    return {"look further": f"stepml epochs {report.job_id}{target.flags}"}


def _basis(run: Run) -> str:
    return f": {LOCAL_BASIS}" if run.connection.is_local else " (estimated)"


def _servers(report: JobReport) -> dict[str, str]:
    """Return a line on servers, which cost money by the hour, if the stack has any."""
    if not report.servers_usd:
        return {}
    return {"servers": f"$ {cost(report.servers_usd)} beside it, for this time"}


def _kept(report: JobReport) -> dict[str, str]:
    """Return a line on the epoch of the model, unless it is the last one."""
    if report.model_epoch in (0, report.epochs):
        return {}
    return {"model of": f"epoch {report.model_epoch}, the best by {report.spec.stop.metric}"}


def _doubt(report: JobReport) -> dict[str, str]:
    """Return an error if there are warnings, as name and message."""
    if not report.warnings:
        return {}
    many = count(len(report.warnings), "warning")
    return {
        "error": DoubtfulResultError.__name__,
        "message": f"{report.job_id} has a model, but also {many}, and is strict",
    }


def _skipped(report: JobReport) -> dict[str, str]:
    """Return a line on skipped rows, if there are any."""
    data = report.dataset
    if not data.skipped_rows:
        return {}
    return {"rows left out": f"{data.skipped_rows} that did not parse, as the report shows"}
