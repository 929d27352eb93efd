"""Tables of reports behind a summary: the numbers of a chart, for those who want them exactly."""

from __future__ import annotations

from collections.abc import Callable

from stepml.console.widgets.folded import Folded
from stepml.console.widgets.table import Cell, Column, Table
from stepml.reports.tables import Table as ReportTable

Row = tuple[int, tuple[str, ...]]  # its number, and its cells


class NumbersBehind:
    """A table that is made when a person opens it, and kept up to date while it is open.

    Parameters
    ----------
    summary : str
        The words by which it opens.
    table : callable
        Returns the table of this moment.
    """

    def __init__(self, summary: str, table: Callable[[], ReportTable]) -> None:
        self._summary, self._table = summary, table
        self._shown: Table[Row] | None = None
        self._header: tuple[str, ...] = ()
        self._folded = Folded(summary, self._draw)

    def update(self) -> None:
        """Show the table of this moment, if it is open."""
        self._folded.update()

    def _draw(self) -> None:
        table = self._table()
        if tuple(table.header) != self._header or self._shown is None:
            self._header = tuple(table.header)
            self._folded.body.clear()
            self._shown = Table(_columns(table), lambda row: row[0], self._summary)
        self._shown.show([(place, tuple(row.cells)) for place, row in enumerate(table.rows)])


def _columns(table: ReportTable) -> list[Column[Row]]:
    return [_column(place, name, name in table.texts) for place, name in enumerate(table.header)]


def _column(place: int, name: str, is_text: bool) -> Column[Row]:
    return Column(name, name, lambda row: Cell(row[1][place]), is_number=not is_text)
