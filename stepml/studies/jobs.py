"""A cell that functions train: its job is started, watched and read."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from stepml.client.callbacks import Notifier
from stepml.client.reading import read_each
from stepml.job.names import MAX_STEM
from stepml.job.parts import FunctionTimes, sum_of_traffic
from stepml.job.reports import EpochReport, JobReport, total_cost_usd
from stepml.local_identity import AnotherProgramError, NoAnswerError, ask
from stepml.records.errors import ExecutionNotFoundError, ReportUnreadableError
from stepml.reports.run_record import communication_share
from stepml.studies.cells import Cell
from stepml.studies.prices import server_usd
from stepml.studies.results import CellResult, CurvePoint

if TYPE_CHECKING:
    from stepml.client import Client, Run

LOCAL_PLACE = "the local AWS"
ASK_TIMEOUT_S = 5.0


def place_of(client: Client) -> str:
    """Return the AWS of a client, in words: results of several do not mix."""
    connection = client.connection
    if not connection.is_local or connection.endpoint_url is None:
        return f"{connection.place}, {client.stack_name}"
    answer = None
    with suppress(NoAnswerError, AnotherProgramError):  # it is no local AWS of StepML
        answer = ask(connection.endpoint_url, ASK_TIMEOUT_S)
    network = (answer or {}).get("network")
    if not network:
        return LOCAL_PLACE
    waits = [
        f"{name} {1000 * each['latency_s']:g} ms" for name, each in network["services"].items()
    ]
    return f"{LOCAL_PLACE} with a network: {', '.join(waits)}"


def run_name(study: str, cell: Cell) -> str:
    """Return a new name for a cell's run."""
    return f"{study[:MAX_STEM]}-{cell.key[-10:]}-{secrets.token_hex(2)[:3]}"


def run_job(
    client: Client,
    cell: Cell,
    name: str,
    place: str,
    before: CellResult | None,
    save: Callable[[CellResult], None],
    sleep: Callable[[float], None],
) -> CellResult:
    """Train a cell to its end, and return its result; a run that goes on is watched further.

    Parameters
    ----------
    client : Client
    cell : Cell
    name : str
        Of a new run.
    place : str
        See `place_of`.
    before : CellResult or None
        The cell's last result.
    save : callable
        Stores the name of the run before it starts.
    sleep : callable
        Waits between two looks at the run; it may raise to leave the run alone.

    Raises
    ------
    AccessError
        The services cannot be reached.
    """
    run = None if before is None else _found(client, before)
    if run is None:
        save(CellResult(key=cell.key, status="running", place=place, job_id=name))
        run = client.run(cell.job, name)
    notify = Notifier(run, run.callbacks)
    for last in run.watch(sleep):
        notify(last)
    if not last.state.succeeded:
        return _failed(cell, place, run.name, run.failure_of(last.state))
    report = run.result
    if report is None:
        gone = ReportUnreadableError(f"{run.name} has no report any more")
        return _failed(cell, place, run.name, gone)
    return result_of(cell, place, report, _functions(run, report.epochs))


def _found(client: Client, before: CellResult) -> Run | None:
    """Return the run that an interrupted study has left, if it is still there and no failure."""
    if not before.job_id or before.status != "running":
        return None
    run = client.named(before.job_id)
    try:
        state = run.state
    except ExecutionNotFoundError:  # it was interrupted before the start
        return None
    return None if state.ended and not state.succeeded else run


def _functions(run: Run, epochs: int) -> list[list[FunctionTimes]]:
    """Return the functions of each epoch."""
    return read_each(run.functions_of, range(1, epochs + 1))


def result_of(
    cell: Cell, place: str, report: JobReport, functions: Sequence[Sequence[FunctionTimes]]
) -> CellResult:
    """Return the result of a job that has ended with a model.

    Parameters
    ----------
    cell : Cell
    place : str
        See `place_of`.
    report : JobReport
    functions : sequence of sequence of FunctionTimes
        Of each epoch.
    """
    traffic = sum_of_traffic(
        each for epoch in functions for one in epoch for each in one.traffic.values()
    )
    train_s = sum(epoch.seconds for epoch in report.history)
    return CellResult(
        key=cell.key,
        status="done",
        place=place,
        job_id=report.job_id,
        end=report.reason,
        converged=report.decision == "converged",
        epochs=report.epochs,
        loss=report.loss,
        metrics=report.metrics,
        seconds=report.seconds,
        start_s=_start_s(functions[0]),
        load_s=max(0.0, report.seconds - train_s),
        train_s=train_s,
        cost_usd=total_cost_usd(report),
        servers_usd=report.servers_usd or server_usd(report.spec.exchange.channel, report.seconds),
        communication_share=communication_share(report.history),
        requests=traffic.requests or None,
        sent_bytes=traffic.sent_bytes or None,
        curve=[_point(each) for each in report.history],
    )


def _point(report: EpochReport) -> CurvePoint:
    return CurvePoint(report.epoch, report.active_seconds, report.total_cost_usd, report.loss)


def _start_s(first: Sequence[FunctionTimes]) -> float | None:
    """Return the seconds until all ranks of the first epoch had started."""
    return max((each.start for each in first if each.role == "rank"), default=None)


def _failed(cell: Cell, place: str, job_id: str, why: object) -> CellResult:
    name = "" if not isinstance(why, Exception) else f"{type(why).__name__}: "
    return CellResult(
        key=cell.key, status="failed", place=place, job_id=job_id, error=f"{name}{why}"
    )
