"""The table of a study: a row for each cell that has run, the same for CSV and pages."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stepml.job.measures import LOSS
from stepml.studies.baselines.kinds import SCIKIT_LEARN
from stepml.studies.cells import FUNCTIONS, Cell
from stepml.studies.results import CellResult


@dataclass(frozen=True, slots=True)
class Row:
    """A cell and its result."""

    cell: Cell
    result: CellResult
    # Ratios of the seconds of training.
    speed_up: float | None = None  # over the same cell with the fewest workers
    against_one_core: float | None = None  # over scikit-learn

    @property
    def measure(self) -> tuple[str, float | None]:
        """Return the name and the value of the metric by which the job judges."""
        metrics, name = self.result.metrics, self.cell.spec.stop.metric
        if name == LOSS:
            name = next(iter(metrics), "")
        return name, metrics.get(name)

    @property
    def total_usd(self) -> float:
        """The price of functions and of the channel's server, or of the machine."""
        return self.result.cost_usd + self.result.servers_usd


@dataclass(frozen=True, slots=True)
class Group:
    """The runs of one cell, which differ in their seeds alone."""

    rows: list[Row]

    @property
    def cell(self) -> Cell:
        """The first run's."""
        return self.rows[0].cell

    @property
    def result(self) -> CellResult:
        """The first run's."""
        return self.rows[0].result

    def mean(self, value: Callable[[Row], float | None]) -> float | None:
        """Return the mean of a value over the runs that have it; None without any."""
        known = self._known(value)
        return sum(known) / len(known) if known else None

    def deviation(self, value: Callable[[Row], float | None]) -> float | None:
        """Return the standard deviation of a value; None with fewer than two runs."""
        known = self._known(value)
        return statistics.stdev(known) if len(known) > 1 else None

    def _known(self, value: Callable[[Row], float | None]) -> list[float]:
        return [found for row in self.rows if (found := value(row)) is not None]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a study, and the cells without one."""

    rows: list[Row]
    refused: list[Cell] = field(default_factory=list)
    failed: list[Row] = field(default_factory=list)
    left: list[Cell] = field(default_factory=list)

    def groups(self, part: str) -> list[Group]:
        """Return the cells of a part that have run, each with all its runs."""
        found: dict[str, Group] = {}
        for row in self.rows:
            if row.cell.part == part:
                found.setdefault(row.cell.name, Group([])).rows.append(row)
        return list(found.values())


def table_of(found: Iterable[tuple[Cell, CellResult | None]]) -> Table:
    """Return the table of cells and their results; None: a cell has none."""
    done: list[tuple[Cell, CellResult]] = []
    table = Table([])
    for cell, result in found:
        if cell.refusal is not None:
            table.refused.append(cell)
        elif result is None or result.status == "running":
            table.left.append(cell)
        elif not result.is_done:
            table.failed.append(Row(cell, result))
        else:
            done.append((cell, result))
    table.rows.extend(_row(cell, result, done) for cell, result in done)
    return table


def _row(cell: Cell, result: CellResult, done: Sequence[tuple[Cell, CellResult]]) -> Row:
    alike = [(other, found) for other, found in done if _scales_like(cell, other)]
    fewest = min(alike, key=lambda each: each[0].spec.workers)
    speed_up = None
    if cell.kind != SCIKIT_LEARN and len({other.spec.workers for other, _ in alike}) > 1:
        speed_up = _ratio(fewest[1], result)
    one_core = [found for other, found in done if _is_baseline_of(other, cell)]
    against = _ratio(one_core[0], result) if one_core else None
    return Row(cell, result, speed_up, against)


def _ratio(other: CellResult, result: CellResult) -> float | None:
    return other.train_s / result.train_s if result.train_s else None


def _scales_like(cell: Cell, other: Cell) -> bool:
    """Return whether two cells differ in their number of workers alone."""
    same = (cell.part, cell.kind, cell.run) == (other.part, other.kind, other.run)
    return same and _without_workers(cell) == _without_workers(other)


def _without_workers(cell: Cell) -> dict[str, Any]:
    return {name: value for name, value in cell.job.items() if name != "workers"}


def _is_baseline_of(baseline: Cell, cell: Cell) -> bool:
    if baseline.kind != SCIKIT_LEARN:
        return False
    same = (baseline.part, baseline.run) == (cell.part, cell.run)
    return same and all(baseline.job[name] == cell.job[name] for name in ("data", "model"))


COLUMNS = (
    *("part", "kind", "model", "algorithm", "channel", "pattern", "workers", "run"),
    *("epochs", "converged", "end", "loss", "metric", "value"),
    *("seconds", "start_s", "load_s", "train_s", "cost_usd", "servers_usd"),
    *("communication_share", "requests", "sent_bytes", "speed_up", "against_one_core"),
    "job_id",
)


def csv_text(table: Table) -> str:
    """Return the table as CSV, with a line for each cell that has run."""
    others = list(dict.fromkeys(path for row in table.rows for path in row.cell.others))
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, *others], lineterminator="\n", restval="")
    writer.writeheader()
    for row in table.rows:
        writer.writerow({**record(row), **row.cell.others})
    return text.getvalue()


def record(row: Row) -> dict[str, Any]:
    """Return the values of a row by `COLUMNS`."""
    cell, result = row.cell, row.result
    exchange = cell.spec.exchange if cell.kind == FUNCTIONS else None
    metric, value = row.measure
    return {
        "part": cell.part,
        "kind": cell.kind,
        "model": cell.model,
        "algorithm": cell.algorithm,
        "channel": exchange.channel if exchange else "",
        "pattern": exchange.pattern if exchange else "",
        "workers": 1 if cell.kind == SCIKIT_LEARN else cell.spec.workers,
        "run": cell.run,
        "epochs": result.epochs,
        "converged": str(result.converged).lower(),
        "end": result.end,
        "loss": result.loss,
        "metric": metric,
        "value": value,
        "seconds": round(result.seconds, 3),
        "start_s": _rounded(result.start_s),
        "load_s": round(result.load_s, 3),
        "train_s": round(result.train_s, 3),
        "cost_usd": round(result.cost_usd, 9),
        "servers_usd": round(result.servers_usd, 9),
        "communication_share": _rounded(result.communication_share),
        "requests": result.requests,
        "sent_bytes": result.sent_bytes,
        "speed_up": _rounded(row.speed_up),
        "against_one_core": _rounded(row.against_one_core),
        "job_id": result.job_id,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
