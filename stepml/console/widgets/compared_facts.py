"""The curves and tables of a comparison of jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from stepml.console.compared import Compared
from stepml.console.widgets.charts import Legend, LineChart
from stepml.console.widgets.choices import Select
from stepml.console.widgets.table import Cell, Column, Table
from stepml.console.widgets.tags import Tag
from stepml.reports.comparison import Comparison, Row
from stepml.reports.comparison_facts import (
    PARTS_TITLE,
    FactTable,
    compared_lines,
    compared_measures,
    fact_tables,
)
from stepml.reports.courses import AXES
from stepml.reports.letters import run_letters

NONE_IN_COMMON = "The models of these jobs have no measure in common."
NOTHING_YET = "No epoch has ended yet."
MOST_ROWS = 200  # of a table at once
_CAPTIONS = {
    "jobs": "Differences of the jobs",
    "results": "Results of the jobs",
    "level": "Effort until all are as good",
    "parts": "Seconds by part",
}


class ComparedCurves:
    """Curves of the jobs by epoch, second or dollar; a legend hides jobs in all of them.

    Parameters
    ----------
    chosen : Compared
        At first.
    on_change : callable
        Called with the choices that a person has changed.
    """

    def __init__(self, chosen: Compared, on_change: Callable[[Compared], object]) -> None:
        self._chosen, self._on_change = chosen, on_change
        self._comparison: Comparison | None = None
        with Tag("div", classes="tools"):
            efforts = {axis.name: axis.title for axis in AXES}
            Select("By", efforts, chosen.by, lambda by: self._change(self._with_effort(by)))
            self._legend = Legend(chosen.hidden, self._hide)
        self._none = Tag("p", classes="soft")
        self._place = Tag("div", classes="plots")
        self._charts: dict[str, LineChart] = {}

    def show(self, comparison: Comparison) -> None:
        """Show the jobs as they are now."""
        self._comparison = comparison
        measures = compared_measures(comparison)
        has_epochs = any(run.epochs for run in comparison.runs)
        self._none.set_visibility(not measures or not has_epochs)
        self._none.say(NONE_IN_COMMON if has_epochs else NOTHING_YET)
        for measure in measures if has_epochs else []:
            lines = compared_lines(comparison, measure, self._chosen.axis)
            self._legend.show(lines)
            self._chart(measure).show(lines)

    def _chart(self, measure: str) -> LineChart:
        if measure not in self._charts:
            axis = self._chosen.axis
            with self._place:
                self._charts[measure] = LineChart(
                    f"{measure} by {axis.name}",
                    axis.title,
                    has_legend=False,
                    hidden=self._chosen.hidden,
                    is_log=self._chosen.is_log(measure),
                    on_log=partial(self._scale, measure),
                )
        return self._charts[measure]

    def _with_effort(self, by: str) -> Compared:
        self._place.clear()
        self._charts = {}
        return self._chosen.with_(by=by)

    def _scale(self, measure: str, is_log: bool) -> None:
        self._change(self._chosen.with_scale(measure, is_log))

    def _hide(self, hidden: frozenset[str]) -> None:
        for chart in self._charts.values():
            chart.hide(hidden)
        self._change(self._chosen.with_(hidden=tuple(sorted(hidden))))

    def _change(self, chosen: Compared) -> None:
        self._chosen = chosen
        self._on_change(chosen)
        if self._comparison is not None:
            self.show(self._comparison)


class ComparedFacts:
    """Tables of facts about the jobs: what differs, results, and the effort until a level."""

    def __init__(self) -> None:
        self._place = Tag("div")
        self._tables: dict[str, _FactsShown] = {}

    def show(self, comparison: Comparison) -> None:
        """Show the jobs as they are now."""
        parts = FactTable("parts", PARTS_TITLE, "", comparison.parts)
        tables = [*fact_tables(comparison), *([parts] if parts.rows else [])]
        for gone in self._tables.keys() - {each.id for each in tables}:
            self._tables.pop(gone).section.delete()
        for place, facts in enumerate(tables):
            if facts.id not in self._tables:
                with self._place:
                    made = _FactsShown(facts, len(comparison.runs))
                    made.section.move(target_index=place)
                    self._tables[facts.id] = made
            self._tables[facts.id].show(facts)


class _FactsShown:
    def __init__(self, facts: FactTable, n_runs: int) -> None:
        with Tag("section", classes="compared-facts") as self.section:
            self._title = Tag("h2")
            Tag("p", facts.text, "soft").set_visibility(bool(facts.text))
            self._table = Table(
                _columns(n_runs), lambda row: row.name, _CAPTIONS[facts.id], page_rows=MOST_ROWS
            )

    def show(self, facts: FactTable) -> None:
        self._title.say(facts.title)
        self._table.show(facts.rows)


def _columns(n_runs: int) -> Sequence[Column[Row]]:
    first: Column[Row] = Column("fact", "Fact", lambda row: Cell(row.name, classes="term"))
    return [first, *(_column(n, letter) for n, letter in enumerate(run_letters(n_runs)))]


def _column(index: int, letter: str) -> Column[Row]:
    return Column(letter, letter, lambda row: Cell(row.cells[index]), is_number=True)
