"""The attempts at a job's epochs as a table, the newest first; those that failed also apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from stepml.console.addresses import epoch_address
from stepml.console.widgets.part import Part
from stepml.console.widgets.table import Cell, Column, Table
from stepml.console.widgets.tags import Tag
from stepml.console.widgets.taken_line import TakenLine
from stepml.job.reports import EpochReport
from stepml.records.execution import EpochAttempt
from stepml.reports.attempt_table import note_of
from stepml.reports.epoch_table import NOTE, attempts_text, epoch_columns
from stepml.reports.figures import shortened
from stepml.reports.run_record import RunRecord

MOST_CHARACTERS = 300  # of a note
MOST_FAILED = 10  # at a time
ORDERS: dict[str, Callable[[EpochReport], float | None]] = {
    "loss": lambda report: report.loss,
    "training loss": lambda report: report.training_loss,
    "communication": lambda report: report.communication_share,
    "$": lambda report: report.cost_usd,
}


class EpochsTable:
    """All attempts at the epochs of a job.

    Parameters
    ----------
    job : str
        The job's name.
    sorted_by : str
        As of `Table`.
    page : int
        As of `Table`.
    on_choose : callable
        Called with ``sort`` or ``page`` by name when a person has sorted or turned the page.
    """

    def __init__(
        self, job: str, sorted_by: str, page: int, on_choose: Callable[..., object]
    ) -> None:
        self._job, self._on_choose = job, on_choose
        self._sorted_by, self._page = sorted_by, page
        self._none = Tag("p", "No epoch has begun yet.", "soft")
        self._taken = TakenLine()
        self._body = Tag("div")
        self._names: list[str] = []
        self._table: Table[EpochAttempt] | None = None

    def show(self, record: RunRecord) -> None:
        """Show a run's attempts, and whose epochs come before them."""
        attempts = record.attempts
        self._taken.show(record)
        self._none.set_visibility(not attempts)
        if not attempts:
            return
        reports = [each.report for each in attempts if each.report is not None]
        cells = epoch_columns(reports)
        if self._table is None or list(cells) != self._names:  # the first epoch names the metric
            self._names = list(cells)
            self._body.clear()
            with self._body:
                self._table = self._new_table(attempt_columns(self._job, cells))
        self._table.show(attempts[::-1])

    def _new_table(self, columns: Sequence[Column[EpochAttempt]]) -> Table[EpochAttempt]:
        return Table(
            columns,
            _arn,
            "Attempts at epochs",
            self._sorted_by,
            self._sort,
            page=self._page,
            on_turn=self._turn,
        )

    def _sort(self, key: str) -> None:
        self._sorted_by = key
        self._on_choose(sort=key)

    def _turn(self, page: int) -> None:
        self._page = page
        self._on_choose(page=page if page > 1 else None)


class FailedAttempts:
    """The attempts that failed, the newest first, and why; nothing while there are none."""

    def __init__(self, job: str) -> None:
        with Part("div", "failed-attempts") as self._section:
            Tag("h2", "Attempts that did not succeed", id="failed")
            self._words = Tag("p", classes="soft")
            columns = [
                _epoch_column(job, "failed-epoch"),
                Column("number", "Attempt", _number, is_number=True),
                Column("status", "Status", lambda each: Cell.of_status(each.status)),
                Column("why", "Why", lambda each: _text(note_of(each))),
            ]
            self._table: Table[EpochAttempt] = Table(
                columns, _arn, "Attempts that did not succeed", page_rows=MOST_FAILED
            )

    def show(self, record: RunRecord) -> None:
        """Show those of a run's attempts that failed."""
        failed = record.failed_attempts
        self._section.set_visibility(bool(failed))
        self._words.say(attempts_text(record))
        self._table.show(failed[::-1])


def attempt_columns(
    job: str, cells: dict[str, Callable[[EpochReport], str]]
) -> list[Column[EpochAttempt]]:
    """Return the columns of all attempts; ``cells`` are those of `epoch_columns`."""
    columns = [
        _epoch_column(job, "epoch"),
        Column("attempt", "Attempt", _number, is_number=True),
        Column("status", "Status", lambda each: Cell.of_status(each.status)),
    ]
    for name, cell in cells.items():
        if name not in ("epoch", NOTE, "seconds"):
            order = ORDERS.get(name) or partial(_metric, name)
            columns.append(_report_column(name, cell, order))
    seconds: Column[EpochAttempt] = Column(
        "seconds", "Seconds", lambda each: Cell(_seconds(each)), _length, is_number=True
    )
    return [*columns, seconds, Column(NOTE, "Note", lambda each: _text(_note(each, cells[NOTE])))]


def _epoch_column(job: str, key: str) -> Column[EpochAttempt]:
    def cell(attempt: EpochAttempt) -> Cell:
        return Cell(str(attempt.epoch), epoch_address(job, attempt.epoch, attempt=attempt.number))

    return Column(key, "Epoch", cell, lambda each: (each.epoch, each.number), is_number=True)


def _report_column(
    name: str,
    cell: Callable[[EpochReport], str],
    order: Callable[[EpochReport], float | None],
) -> Column[EpochAttempt]:
    return Column(
        name,
        name.capitalize(),
        lambda each: Cell("" if each.report is None else cell(each.report)),
        lambda each: None if each.report is None else order(each.report),
        is_number=True,
    )


def _metric(name: str, report: EpochReport) -> float | None:
    return report.metrics.get(name)


def _number(attempt: EpochAttempt) -> Cell:
    return Cell(str(attempt.number))


def _length(attempt: EpochAttempt) -> float | None:
    return attempt.seconds if attempt.report is None else attempt.report.seconds


def _seconds(attempt: EpochAttempt) -> str:
    length = _length(attempt)
    return "" if length is None else f"{length:.2f}"


def _note(attempt: EpochAttempt, of_report: Callable[[EpochReport], str]) -> str:
    return of_report(attempt.report) if attempt.report is not None else note_of(attempt)


def _text(text: str) -> Cell:
    return Cell(shortened(text, MOST_CHARACTERS), classes="long")


def _arn(attempt: EpochAttempt) -> str:
    return attempt.execution.arn
