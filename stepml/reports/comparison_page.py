"""A comparison of runs as a page of HTML: curves, results, and the differences of their jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from stepml.reports.charts import COLOURS, Column, bars, kinds_of, line_chart
from stepml.reports.comparison import Comparison, Row, mean_parts, training_seconds
from stepml.reports.comparison_facts import (
    PARTS_TITLE,
    compared_lines,
    compared_measures,
    fact_tables,
)
from stepml.reports.costs import costs_by_kind
from stepml.reports.courses import AXES, EPOCH, Axis
from stepml.reports.figures import cost, duration
from stepml.reports.letters import run_letters
from stepml.reports.pages import page, rendered
from stepml.reports.phases import phase_seconds
from stepml.reports.run_record import RunRecord
from stepml.reports.timelines import PARTS


@dataclass(frozen=True, slots=True)
class _Section:
    id: str
    title: str
    text: str = ""
    charts: list[Markup] = field(default_factory=list)
    rows: Sequence[Row] = ()

    @property
    def has_content(self) -> bool:
        return bool(self.charts or self.rows)


def comparison_page(comparison: Comparison) -> str:
    """Return a comparison as one file of HTML, which needs no network."""
    return page("compare.html.j2", **_values(comparison))


def comparison_parts(comparison: Comparison) -> Markup:
    """Return its elements without a page around them."""
    text = rendered("compared.html.j2", **_values(comparison))  # which has escaped its values
    return Markup(text)  # noqa: S704 # nosec B704


def _values(comparison: Comparison) -> dict[str, Any]:
    names = [run.job_id for run in comparison.runs]
    sections = (
        *(
            _Section(each.id, each.title, each.text, rows=each.rows)
            for each in fact_tables(comparison)
        ),
        _Section("learning", "Learning", charts=_curves(comparison)),
        _Section("time", "Time and cost", _basis(comparison), _bars(comparison)),
    )
    return {
        "names": names,
        "runs": list(zip(run_letters(len(names)), names, strict=True)),
        "colours": COLOURS,
        "notes": comparison.notes,
        "sections": [each for each in sections if each.has_content],
    }


def _basis(comparison: Comparison) -> str:
    return f"Costs on the local AWS: {comparison.cost_basis}." if comparison.cost_basis else ""


def _curves(comparison: Comparison) -> list[Markup]:
    """Return the measure by each effort, and the other metrics by epoch."""
    measure = comparison.measure
    of_measure = [] if measure is None else [_chart(comparison, measure, axis) for axis in AXES]
    others = [name for name in compared_measures(comparison) if name != measure]
    return _drawn(*of_measure, *(_chart(comparison, name, EPOCH) for name in others))


def _chart(comparison: Comparison, measure: str, axis: Axis) -> Markup:
    lines = compared_lines(comparison, measure, axis)
    return line_chart(f"{measure} by {axis.name}", lines, axis.title)


def _bars(comparison: Comparison) -> list[Markup]:
    runs = list(zip(run_letters(len(comparison.runs)), comparison.runs, strict=True))
    times = _columns(runs, _phases, duration)
    parts = _columns(runs, mean_parts, lambda total: f"{total:.2f} s")
    costs = _columns(runs, costs_by_kind, lambda total: f"$ {cost(total)}")
    return _drawn(
        bars("Seconds", times, "s", _colours(times)),
        bars(PARTS_TITLE, parts, "s", PARTS),
        bars("US dollars", costs, "", _colours(costs)),
    )


def _columns(
    runs: Sequence[tuple[str, RunRecord]],
    kinds_of_run: Callable[[RunRecord], dict[str, float]],
    note: Callable[[float], str],
) -> list[Column]:
    """Return a bar for each run of which the kinds are known."""
    found = ((letter, kinds_of_run(run)) for letter, run in runs)
    return [Column(letter, kinds, note(sum(kinds.values()))) for letter, kinds in found if kinds]


def _phases(run: RunRecord) -> dict[str, float]:
    """Return the seconds of a run by phase; those of training alone if no more is known."""
    training, seconds = training_seconds(run), run.seconds
    if training is None or seconds is None:
        return {}
    return phase_seconds(run) or {"epochs": training, "other": max(0.0, seconds - training)}


def _colours(columns: Sequence[Column]) -> dict[str, str]:
    """Return colours of kinds, from the last one on: runs have the first ones."""
    return {kind: f"c{COLOURS - 1 - n}" for n, kind in enumerate(kinds_of(columns)[:COLOURS])}


def _drawn(*charts: Markup) -> list[Markup]:
    return [chart for chart in charts if chart]
