"""The parts of a run's cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from markupsafe import Markup

from stepml.job.reports import EpochReport
from stepml.records.history import PHASES
from stepml.reports.charts import Column, bars
from stepml.reports.figures import cost, shortened_inside
from stepml.reports.run_record import RunRecord
from stepml.reports.taken_over import taken_over

PREPARATION, EPOCHS, END = "preparation", "epochs", "writing the model"
TAKEN_OVER = "epochs taken over"  # with the preparation of their job
BEFORE = "epochs taken over, preparation"  # while the reports of those epochs are not read
_WORDS = {
    "requests": "requests to services",
    "states": "states of the machine",
    "transitions": "states of the machine",
    "lost": "lost calls",
}
COST_TITLE, PREPARATION_TITLE = "US dollars by what they pay for", "US dollars of the preparation"
LEAST_USD = 1e-9  # less is an error of rounding
MOST_OF_NAME = 24  # characters of a job's name


def costs_by_kind(record: RunRecord) -> dict[str, float]:
    """Return US dollars by kind; together they are the cost of the run."""
    if not record.epochs:
        return {}
    costs, own = _before_own_epochs(record)
    for report in own:
        for kind, usd in report.costs.items():
            costs[kind] += usd
        costs[EPOCHS] += report.cost_usd - sum(report.costs.values())
    costs[END] = (record.cost_usd or 0.0) - record.epochs[-1].total_cost_usd
    return {kind: usd for kind, usd in costs.items() if usd > LEAST_USD}


def _before_own_epochs(record: RunRecord) -> tuple[defaultdict[str, float], list[EpochReport]]:
    """Return US dollars up to the first epoch that the run has trained itself, and its epochs."""
    taken = taken_over(record)
    n_taken = 0 if taken is None else taken.epochs
    theirs = [each for each in record.epochs if each.epoch <= n_taken]
    own = [each for each in record.epochs if each.epoch > n_taken]
    theirs_usd = theirs[-1].total_cost_usd if theirs else 0.0
    first_usd = own[0].total_cost_usd - own[0].cost_usd - theirs_usd if own else 0.0
    first = BEFORE if n_taken and not theirs else PREPARATION
    return defaultdict(float, {TAKEN_OVER: theirs_usd, first: first_usd}), own


def cost_chart(record: RunRecord) -> Markup:
    """Return a chart of the cost by kind; empty before the first epoch has ended."""
    return bars(COST_TITLE, cost_rows(record))


def preparation_chart(record: RunRecord) -> Markup:
    """Return a chart of the cost of the preparation by state; empty if that is unknown."""
    return bars(PREPARATION_TITLE, preparation_rows(record))


def cost_rows(record: RunRecord) -> list[Column]:
    """Return a bar for the cost of each kind, the largest first."""
    taken = taken_over(record)
    theirs = (
        "" if taken is None else f"{taken.which}, of {shortened_inside(taken.job, MOST_OF_NAME)}"
    )
    words = {**_WORDS, TAKEN_OVER: theirs, BEFORE: f"{theirs}, and preparation"}
    return _rows(costs_by_kind(record), words)


def preparation_rows(record: RunRecord) -> list[Column]:
    """Return a bar for the cost of each state of the preparation, the largest first."""
    costs = {} if record.final is None else record.final.preparation.costs
    by_phase: defaultdict[str, float] = defaultdict(float)
    for state, usd in costs.items():
        by_phase[PHASES.get(state, _WORDS.get(state, state))] += usd
    return _rows(by_phase, _WORDS)


def _rows(costs: Mapping[str, float], words: Mapping[str, str]) -> list[Column]:
    total = sum(costs.values())
    return [
        Column(words.get(kind, kind), {"US dollars": usd}, f"$ {cost(usd)} ({usd / total:.0%})")
        for kind, usd in sorted(costs.items(), key=lambda each: -each[1])
        if usd > 0
    ]
