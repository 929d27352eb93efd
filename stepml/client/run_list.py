"""The runs of a stack as a list, a table and a data frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from stepml.client.job_cells import (
    FACTS,
    FAILED,
    HEAD,
    fact_cells,
    head_cells,
    job_row,
    metric_name,
)
from stepml.client.libraries import frame_of
from stepml.records.execution import RUNNING
from stepml.reports.tables import Table, TableRow

if TYPE_CHECKING:
    import pandas as pd

    from stepml.client.listing import JobSummary
    from stepml.client.run import Run
    from stepml.reports.compared_runs import ComparedRuns

ERROR = "error"


class Runs(Sequence["Run"]):
    """Runs, newest first; a notebook shows them as a table.

    The table is of the moment at which they were listed.
    """

    def __init__(self, runs: Sequence[Run], jobs: Sequence[JobSummary]) -> None:
        self._runs, self._jobs = list(runs), list(jobs)

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | slice) -> Run | Runs:
        if isinstance(index, slice):
            return Runs(self._runs[index], self._jobs[index])
        return self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def rows(self) -> list[dict[str, Any]]:
        """Return a flat row for each run: status, settings, metrics, time, cost and error."""
        rows = [job_row(each) for each in self._jobs]
        return [{**row.pop("metrics"), **row} for row in rows]

    def to_frame(self) -> pd.DataFrame:
        """Return `rows` as a data frame.

        Raises
        ------
        LibraryMissingError
            pandas is not installed.
        """
        return frame_of(self.rows())

    def compare(self) -> ComparedRuns:
        """Return these runs side by side; speed-ups refer to the first."""
        from stepml.reports.compared_runs import ComparedRuns

        return ComparedRuns([each.record for each in self._runs])

    def __repr__(self) -> str:
        return self._table().text()

    def _repr_html_(self) -> str:
        from stepml.reports.fragments import fragment  # which needs the library for templates

        return fragment(self._table().html())

    def _table(self) -> Table:
        metric = metric_name(self._jobs)
        has_failed = any(each.failure is not None for each in self._jobs)
        header = [*HEAD, *FACTS, metric, *([ERROR] if has_failed else [])]
        rows = [_row(each, metric, has_failed) for each in self._jobs]
        return Table(header, rows, frozenset({*HEAD[:2], *FACTS, ERROR}))


def _row(job: JobSummary, metric: str, has_failed: bool) -> TableRow:
    why = "" if job.failure is None else job.failure.with_rank
    cells = [*head_cells(job), *fact_cells(job, metric), *([why] if has_failed else [])]
    colour = "bad" if job.status in FAILED else "note" if job.status in RUNNING else ""
    return TableRow(cells, colour)
