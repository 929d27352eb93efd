"""A comparison as tables of facts, and as lines for charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stepml.job.measures import LOSS, MEASURES
from stepml.reports.charts import COLOURS, Series
from stepml.reports.comparison import Comparison, Row
from stepml.reports.courses import Axis, course
from stepml.reports.learning_curves import is_loss
from stepml.reports.letters import run_letters

MOST_METRICS = 12  # with a chart
PARTS_TITLE = "Seconds of the median rank in a mean epoch, by part"


@dataclass(frozen=True, slots=True)
class FactTable:
    """Facts about each of the runs.

    Attributes
    ----------
    id : str
        Its name in addresses.
    title : str
    text : str
        More on what it shows, or "".
    rows : sequence of Row
    """

    id: str
    title: str
    text: str
    rows: Sequence[Row]


def fact_tables(comparison: Comparison) -> list[FactTable]:
    """Return the tables that have rows: what differs, what came of it, and how soon."""
    tables = (
        FactTable("jobs", "What differs between the jobs", "", comparison.differences),
        FactTable("results", "Results", "", comparison.results),
        FactTable(
            "level",
            f"Until {comparison.level_text}",
            "The best that all of the runs reach; speed-ups refer to the first.",
            comparison.to_level,
        ),
    )
    return [each for each in tables if each.rows]


def compared_measures(comparison: Comparison) -> list[str]:
    """Return the measures with a chart: the one by which runs are compared, then others.

    Those are the loss, if runs have it in common, and metrics of two runs or more that are not
    the loss under another name.
    """
    reports = [run.model_report for run in comparison.runs]
    known = [set(each.metrics) for each in reports if each is not None]
    common = [name for name in MEASURES if sum(name in each for each in known) > 1]
    found = [
        name for name in common if not all(is_loss(run.epochs, name) for run in comparison.runs)
    ]
    if comparison.measure is None:
        return found[:MOST_METRICS]
    others = [name for name in [LOSS, *found] if name != comparison.measure]
    return [comparison.measure, *dict.fromkeys(others[:MOST_METRICS])]


def compared_lines(comparison: Comparison, measure: str, axis: Axis) -> list[Series]:
    """Return the course of each run, named by its letter.

    Dashed ones have the colours of the first ones again.
    """
    letters = run_letters(len(comparison.runs))
    return [
        Series(letter, course(run, measure, axis), is_dashed=index // COLOURS % 2 == 1)
        for index, (letter, run) in enumerate(zip(letters, comparison.runs, strict=True))
    ]
