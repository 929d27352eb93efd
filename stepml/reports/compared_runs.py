"""Runs side by side, as a notebook shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stepml.reports.comparison import Comparison, Row, compare
from stepml.reports.comparison_page import comparison_page, comparison_parts
from stepml.reports.comparison_rows import epoch_table
from stepml.reports.fragments import Page, fragment
from stepml.reports.letters import run_letters
from stepml.reports.libraries import Framed, require_plots
from stepml.reports.run_record import RunRecord
from stepml.reports.tables import Table, TableRow

if TYPE_CHECKING:
    from stepml.reports.self_showing import Plot


class ComparedRuns(Framed):
    """Runs side by side: what differs between their jobs, results, time, cost and curves.

    Attributes
    ----------
    comparison : Comparison
        All of it as values.
    """

    def __init__(self, records: Sequence[RunRecord]) -> None:
        self.comparison: Comparison = compare(records)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each epoch of each run, with the settings in which the jobs differ."""
        header, rows = epoch_table(self.comparison)
        return [dict(zip(header, row, strict=True)) for row in rows]

    def plot(self) -> Plot:
        """Return a figure of the measure by epoch, second and dollar.

        Raises
        ------
        LibraryMissingError
            matplotlib is not installed.
        """
        require_plots()
        from stepml.reports.plots import curves_figure

        return curves_figure(self.comparison)

    def report(self) -> Page:
        """Return the comparison as a page of HTML."""
        names = ", ".join(run.job_id for run in self.comparison.runs)
        return Page(comparison_page(self.comparison), f"comparison of {names}")

    def __repr__(self) -> str:
        comparison = self.comparison
        letters = run_letters(len(comparison.runs))
        names = [f"{a}: {run.job_id}" for a, run in zip(letters, comparison.runs, strict=True)]
        facts = (comparison.differences, comparison.results, comparison.to_level)
        rows = [_row(each) for each in (row for part in facts for row in part)]
        table = Table(["", *letters], rows, frozenset({""}))
        return "\n".join([*names, *comparison.notes, table.text()])

    def _repr_html_(self) -> str:
        return fragment(comparison_parts(self.comparison))


def _row(row: Row) -> TableRow:
    return TableRow([row.name, *row.cells])
