"""What the cost of a run is made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from markupsafe import Markup

from stepml.records.history import PHASES
from stepml.reports.charts import Column, bars
from stepml.reports.figures import cost
from stepml.reports.run_record import RunRecord

PREPARATION, EPOCHS, END = "preparation", "epochs", "writing the model"
_WORDS = {
    "requests": "requests to services",
    "states": "states of the machine",
    "transitions": "states of the machine",
    "lost": "lost calls",
}
COST_TITLE, PREPARATION_TITLE = "US dollars by what they pay for", "US dollars of the preparation"
LEAST_USD = 1e-9  # less is an error of rounding


def costs_by_kind(record: RunRecord) -> dict[str, float]:
    """Return US dollars by kind; together they are the cost of the run."""
    reports = record.epochs
    if not reports:
        return {}
    costs: defaultdict[str, float] = defaultdict(float)
    costs[PREPARATION] = reports[0].total_cost_usd - reports[0].cost_usd
    for report in reports:
        for kind, usd in report.costs.items():
            costs[kind] += usd
        costs[EPOCHS] += report.cost_usd - sum(report.costs.values())
    costs[END] = (record.cost_usd or 0.0) - reports[-1].total_cost_usd
    return {kind: usd for kind, usd in costs.items() if usd > LEAST_USD}


def cost_chart(record: RunRecord) -> Markup:
    """Return a chart of the cost by kind; empty before the first epoch has ended."""
    return bars(COST_TITLE, cost_rows(record))


def preparation_chart(record: RunRecord) -> Markup:
    """Return a chart of the cost of the preparation by state; empty if that is unknown."""
    return bars(PREPARATION_TITLE, preparation_rows(record))


def cost_rows(record: RunRecord) -> list[Column]:
    """Return a bar for the cost of each kind, the largest first."""
    return _rows(costs_by_kind(record))


def preparation_rows(record: RunRecord) -> list[Column]:
    """Return a bar for the cost of each state of the preparation, the largest first."""
    costs = {} if record.final is None else record.final.preparation.costs
    by_phase: defaultdict[str, float] = defaultdict(float)
    for state, usd in costs.items():
        by_phase[PHASES.get(state, _WORDS.get(state, state))] += usd
    return _rows(by_phase)


def _rows(costs: Mapping[str, float]) -> list[Column]:
    total = sum(costs.values())
    return [
        Column(_WORDS.get(kind, kind), {"US dollars": usd}, f"$ {cost(usd)} ({usd / total:.0%})")
        for kind, usd in sorted(costs.items(), key=lambda each: -each[1])
        if usd > 0
    ]
