"""Shows a comparison of runs as tables that fit a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from stepml.cli.folding import folded
from stepml.reports.aligned import GAP, aligned
from stepml.reports.comparison import ABSENT, Comparison
from stepml.reports.courses import at_efforts, axis_named, course
from stepml.reports.figures import cost, on_its_own
from stepml.reports.letters import run_letters

if TYPE_CHECKING:
    from stepml.reports.comparison import Row
    from stepml.reports.courses import Axis

Line = tuple[str, str]  # a line, and its style
Grid = list[Sequence[str]]  # rows: a name, and a cell for each run

MOST_EFFORTS = 10
MOST_COLUMN = 24  # characters of a cell; longer values are shortened


def comparison_lines(comparison: Comparison, by: str, width: int) -> Iterator[Line]:
    """Yield the lines of a comparison; runs have letters, which the first lines explain."""
    letters = run_letters(len(comparison.runs))
    for letter, run in zip(letters, comparison.runs, strict=True):
        yield f"{letter}  {run.job_id}", "bold"
    for note in comparison.notes:
        yield from ((line, "yellow") for line in folded(f"note: {note}", width))
    axis = axis_named(by)
    sections = {
        "jobs": _rows(comparison.differences),
        "results": _rows(comparison.results),
        "an epoch of a rank": _rows(comparison.parts),
        f"until {comparison.level_text}": _rows(comparison.to_level),
        f"{comparison.measure} by {axis.title}": _course(comparison, axis),
    }
    for title, rows in sections.items():
        yield from _section(title, rows, letters, width)
    if comparison.cost_basis:
        yield from (("", ""), (f"cost: {comparison.cost_basis}", ""))


def _rows(rows: Sequence[Row]) -> Grid:
    return [(row.name, *row.cells) for row in rows]


def _section(title: str, rows: Grid, letters: Sequence[str], width: int) -> Iterator[Line]:
    """Yield a table, in several blocks if the runs are too many for the width."""
    if not rows:
        return
    header = (title, *letters)
    for columns in _blocks([header, *rows], width):
        yield "", ""
        block = [[row[0], *(row[column] for column in columns)] for row in (header, *rows)]
        head, *lines = aligned(block, range(1, len(block[0])), width, range(len(block[0])))
        yield head, "bold"
        yield from ((line, "") for line in lines)


def _blocks(rows: Grid, width: int) -> Iterator[list[int]]:
    """Yield the columns of each block, which has at least one."""
    widths = [min(MOST_COLUMN, max(map(len, cells))) for cells in zip(*rows, strict=True)]
    block: list[int] = []
    used = widths[0]
    for column, needed in enumerate(widths[1:], 1):
        if block and used + len(GAP) + needed > width:
            yield block
            block, used = [], widths[0]
        block.append(column)
        used += len(GAP) + needed
    yield block


def _course(comparison: Comparison, axis: Axis) -> Grid:
    """Return the value of each run at some efforts up to the largest one."""
    if comparison.measure is None:
        return []
    curves = [course(run, comparison.measure, axis) for run in comparison.runs]
    efforts = _efforts([effort for points in curves for effort, _ in points], axis)
    values = [at_efforts(points, efforts) for points in curves]
    return [
        (
            _effort_text(effort, axis),
            *(ABSENT if each is None else on_its_own(each, 4) for each in row),
        )
        for effort, *row in zip(efforts, *values, strict=True)
    ]


def _efforts(found: Sequence[float], axis: Axis) -> list[float]:
    """Return some efforts at equal distances; of epochs whole ones, and the first."""
    most = max(found, default=0.0)
    if axis.name != "epoch":
        n_rows = MOST_EFFORTS if most else 0
        return [most * (step / n_rows) for step in range(1, n_rows + 1)]  # the last one is most
    steps = min(int(most), MOST_EFFORTS)
    wanted = {1, *(round(most * step / steps) for step in range(1, steps + 1))}
    return [float(epoch) for epoch in sorted(wanted)]


def _effort_text(effort: float, axis: Axis) -> str:
    texts = {"epoch": f"{effort:.0f}", "second": f"{effort:.2f} s", "dollar": f"$ {cost(effort)}"}
    return texts[axis.name]
