"""The runs of a stack as a list, a table and a data frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from stepml.client.job_cells import (
    FACTS,
    FAILED,
    HEAD,
    fact_cells,
    head_cells,
    job_row,
    metric_name,
)
from stepml.client.listing import JobSummary
from stepml.client.run import Run
from stepml.client.tabular import Row, Tabular
from stepml.records.execution import RUNNING

if TYPE_CHECKING:
    from stepml.reports.compared_runs import ComparedRuns
    from stepml.reports.tables import Table, TableRow

ERROR = "error"


class Runs(Tabular[Run]):
    """Runs, newest first; their table is of the moment at which they were listed.

    Parameters
    ----------
    runs : sequence of Run
    jobs : sequence of JobSummary
        Of each.
    """

    def __init__(self, runs: Sequence[Run], jobs: Sequence[JobSummary]) -> None:
        super().__init__(runs)
        self._by_name = {each.name: each for each in jobs}

    @property
    def jobs(self) -> list[JobSummary]:
        """The summary of each run."""
        return [self._by_name[each.name] for each in self]

    def rows(self) -> list[Row]:
        """Return a flat row for each run: status, settings, metrics, time, cost and error."""
        rows = [job_row(each) for each in self.jobs]
        return [{**row.pop("metrics"), **row} for row in rows]

    def compare(self) -> ComparedRuns:
        """Return these runs side by side; speed-ups refer to the first."""
        from stepml.reports.compared_runs import ComparedRuns

        return ComparedRuns([each.record for each in self])

    def _with(self, items: Sequence[Run]) -> Self:
        return type(self)(items, list(self._by_name.values()))

    def _table(self) -> Table:
        from stepml.reports.tables import Table

        jobs = self.jobs
        metric = metric_name(jobs)
        has_failed = any(each.failure is not None for each in jobs)
        header = [*HEAD, *FACTS, metric, *([ERROR] if has_failed else [])]
        rows = [_row(each, metric, has_failed) for each in jobs]
        return Table(header, rows, frozenset({*HEAD[:2], *FACTS, ERROR}))


def _row(job: JobSummary, metric: str, has_failed: bool) -> TableRow:
    from stepml.reports.tables import TableRow

    cells = [*head_cells(job), *fact_cells(job, metric), *([job.why] if has_failed else [])]
    colour = "bad" if job.status in FAILED else "note" if job.status in RUNNING else ""
    return TableRow(cells, colour)
