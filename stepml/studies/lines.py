"""The table of a study as lines of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stepml.reports.figures import cost, count, shown
from stepml.studies.baselines.kinds import SCIKIT_LEARN
from stepml.studies.cells import FUNCTIONS, Cell
from stepml.studies.table import Group, Row, Table

_HEAD = (
    f"  {'channel':<16}  {'pattern':<14} {'workers':>7} {'epochs':>6} {'loss':>7} "
    f"{'seconds':>7} {'US $':>8} {'comm.':>5}"
)


def table_lines(table: Table) -> Iterator[str]:
    """Yield the table: a block for each part, model and algorithm."""
    groups = [
        group
        for part in dict.fromkeys(row.cell.part for row in table.rows)
        for group in table.groups(part)
    ]
    for part, model in dict.fromkeys((group.cell.part, group.cell.model) for group in groups):
        here = [each for each in groups if (each.cell.part, each.cell.model) == (part, model)]
        yield ""
        yield f"{part}: {model}"
        yield _HEAD
        for algorithm in dict.fromkeys(group.cell.algorithm for group in here):
            yield f"  {algorithm}"
            yield from (_line(group) for group in here if group.cell.algorithm == algorithm)


def _line(group: Group) -> str:
    cell = group.cell
    epochs, loss = (
        group.mean(lambda row: row.result.epochs),
        group.mean(lambda row: row.result.loss),
    )
    seconds, usd = group.mean(lambda row: row.result.seconds), group.mean(lambda row: row.total_usd)
    share = group.mean(lambda row: row.result.communication_share)
    return (
        f"  {channel_of(cell):<16}  {pattern_of(cell):<14} {cell.workers:>7} {epochs:>6.3g} "
        f"{'–' if loss is None else shown(loss, 4):>7} {seconds:>7.1f} "
        f"{cost(usd or 0.0):>8} {'–' if share is None else f'{share:.0%}':>5}"
        f"{_notes(group)}"
    )


def channel_of(cell: Cell) -> str:
    """Return the channel of a cell, or what a baseline has instead."""
    return cell.spec.exchange.channel if cell.kind == FUNCTIONS else _NAMES[cell.kind]


def pattern_of(cell: Cell) -> str:
    """Return the pattern of a cell; a dash for baselines."""
    return cell.spec.exchange.pattern if cell.kind == FUNCTIONS else "–"


def others_of(cell: Cell) -> str:
    """Return the other values of the grid."""
    return ", ".join(f"{path.rpartition('.')[2]} {text}" for path, text in cell.others.items())


def _notes(group: Group) -> str:
    deviation = group.deviation(lambda row: row.result.seconds)
    runs = "" if deviation is None else f"mean of {len(group.rows)} runs, ± {deviation:.1f} s"
    words = ", ".join(filter(None, [others_of(group.cell), runs]))
    return f"\n      {words}" if words else ""


def progress_line(row: Row) -> str:
    """Return a line on a cell that has just ended."""
    cell, result = row.cell, row.result
    words = " ".join(cell.words)
    if not result.is_done:
        return f"{words}: {result.error}"
    loss = "" if result.loss is None else f", loss {shown(result.loss, 4)}"
    return f"{words}: {result.seconds:.1f} s, {count(result.epochs, 'epoch')}{loss}"


def cell_lines(cells: Sequence[Cell], done: set[str]) -> Iterator[str]:
    """Yield a line for each cell that is possible, and then the others by their reason."""
    for cell in cells:
        if cell.refusal is None:
            yield f"  {_named(cell)}{'  (has a result)' if cell.key in done else ''}"
    for reason in dict.fromkeys(cell.refusal for cell in cells if cell.refusal is not None):
        yield f"impossible: {reason}"
        yield from (f"  {_named(cell)}" for cell in cells if cell.refusal == reason)


def _named(cell: Cell) -> str:
    run = f" run {cell.run}" if cell.run > 1 else ""
    return f"{cell.part}: {' '.join(cell.words)}{run}"


_NAMES = {SCIKIT_LEARN: "one core", "vm": "VM"}
