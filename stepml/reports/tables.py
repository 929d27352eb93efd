"""Tables of reports, as HTML for notebooks and as lines for terminals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stepml.reports.aligned import aligned
from stepml.reports.svg import element

MOST_ROWS = 60  # of more, the middle is left out
MOST_LINES = 20
WIDTH = 120  # characters of a line
LEFT_OUT = "…"


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of cells, with the class of its colour: good, bad, note or none."""

    cells: Sequence[str]
    colour: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows below a header; columns of text are aligned left, others right."""

    header: Sequence[str]
    rows: Sequence[TableRow]
    texts: frozenset[str] = frozenset()

    def html(self) -> Markup:
        """Return an element, which scrolls if it is large."""
        classes = ["text" if name in self.texts else "number" for name in self.header]
        head = element("tr", *map(_head, self.header, classes))
        body = (_row(each, classes) for each in self._shown(MOST_ROWS))
        table = element("table", element("thead", head), element("tbody", *body))
        return element("div", table, class_="scroll")

    def text(self) -> str:
        """Return lines, the first of them with the names of the columns.

        If they are too long, the cells of the last column are shortened, unless it has numbers.
        """
        rows = [self.header, *(each.cells for each in self._shown(MOST_LINES))]
        numbers = {n for n, name in enumerate(self.header) if name not in self.texts}
        last = len(self.header) - 1
        flexible = [] if last in numbers else [last]
        one_line = [[" ".join(cell.split()) for cell in row] for row in rows]
        return "\n".join(aligned(one_line, numbers, WIDTH, flexible))

    def _shown(self, most: int) -> list[TableRow]:
        """Return the first and the last rows, with one between them for those left out."""
        if len(self.rows) <= most:
            return list(self.rows)
        half = most // 2
        between = TableRow([LEFT_OUT] * len(self.header))
        return [*self.rows[:half], between, *self.rows[-half:]]


def _head(name: str, class_: str) -> Markup:
    return element("th", name, scope="col", class_=class_)


def _row(row: TableRow, classes: Sequence[str]) -> Markup:
    cells = (
        element("td", cell, class_=name) for cell, name in zip(row.cells, classes, strict=True)
    )
    return element("tr", *cells, class_=row.colour or None)
