"""The visits of an execution, and the iterations of its Maps, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stepml.reports.tables import Table, TableRow

Row = Mapping[str, Any]
_TEXTS = frozenset({"state", "kind", "map", "unit", "status", "error"})
_BAD = frozenset({"FAILED", "TIMED_OUT"})


def visit_table(rows: Sequence[Row]) -> Table:
    """Return a table of visits."""
    return _table(["state", "iteration", "status", "attempts", "seconds", "error"], rows)


def iteration_table(rows: Sequence[Row]) -> Table:
    """Return a table of iterations."""
    return _table(["map", "unit", "item", "status", "attempts", "seconds", "error"], rows)


def _table(header: list[str], rows: Sequence[Row]) -> Table:
    return Table(header, [_row(header, each) for each in rows], _TEXTS)


def _row(header: list[str], row: Row) -> TableRow:
    cells = [_cell(row[name]) for name in header]
    return TableRow(cells, "bad" if row["status"] in _BAD else "")


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    return "" if value is None else str(value)
