"""What the cost of a run is made of."""

from __future__ import annotations

from collections import defaultdict

from markupsafe import Markup

from stepml.reports.charts import Column, bars
from stepml.reports.figures import cost
from stepml.reports.run_record import RunRecord

PREPARATION, EPOCHS, END = "preparation", "epochs", "writing the model"
_WORDS = {
    "requests": "requests to services",
    "states": "states of the machine",
    "lost": "calls in vain",
}
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
    costs = costs_by_kind(record)
    total = sum(costs.values())
    rows = [
        Column(_WORDS.get(kind, kind), {"US dollars": usd}, f"$ {cost(usd)} ({usd / total:.0%})")
        for kind, usd in sorted(costs.items(), key=lambda each: -each[1])
    ]
    return bars("US dollars by what they pay for", rows)
