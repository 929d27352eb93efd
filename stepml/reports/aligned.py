"""Lays out rows of cells as lines of aligned columns."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from stepml.reports.figures import shortened_inside

GAP = "  "
MIN_COLUMN = 6  # characters that a shortened cell keeps


def aligned(
    rows: Sequence[Sequence[str]],
    numbers: Container[int] = (),
    width: int | None = None,
    flexible: Iterable[int] = (),
) -> list[str]:
    """Return a line for each row.

    Parameters
    ----------
    rows : sequence of sequence of str
        Cells; all rows have the same number.
    numbers : container of int
        Columns that are aligned right.
    width : int, optional
        Characters of a line. If the cells need more, those in ``flexible`` columns are shortened.
    flexible : iterable of int
        The widest of them is shortened first.
    """
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    if width is not None:
        widths = _fitted(widths, list(flexible), width)
    return [_line(row, widths, numbers) for row in rows]


def _fitted(widths: Sequence[int], flexible: Sequence[int], width: int) -> list[int]:
    fitted = list(widths)
    for _ in range(sum(fitted) + len(GAP) * (len(fitted) - 1) - width):
        widest = max(flexible, key=lambda column: fitted[column], default=None)
        if widest is None or fitted[widest] <= MIN_COLUMN:
            break
        fitted[widest] -= 1
    return fitted


def _line(row: Sequence[str], widths: Sequence[int], numbers: Container[int]) -> str:
    fitted = map(shortened_inside, row, widths)
    cells = (
        cell.rjust(size) if column in numbers else cell.ljust(size)
        for column, (cell, size) in enumerate(zip(fitted, widths, strict=True))
    )
    return GAP.join(cells).rstrip()
