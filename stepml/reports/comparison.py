"""Compares runs: in what their jobs differ, what came of them, and how soon they were as good.

::

    from stepml.reports import RunRecord, compare

    comparison = compare([RunRecord.of_directory(Path("runs/a")), RunRecord.of_directory(...)])
    print(comparison.measure, comparison.level)
    for row in (*comparison.differences, *comparison.results):
        print(row.name, row.cells)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from stepml.job.measures import LOSS, MEASURES, rank_of
from stepml.job.reports import DatasetReport, EpochReport
from stepml.job.spec_base import tag
from stepml.reports.courses import best_value, first_at
from stepml.reports.epoch_rows import median_parts
from stepml.reports.figures import LOCAL_BASIS, cost, duration, on_its_own, shown
from stepml.reports.run_record import RunRecord
from stepml.reports.settings import differing
from stepml.reports.status_words import status_word

Value = Any  # text, a number, a boolean, a list of them, or None
ABSENT = "–"
LEAST_SECONDS = 0.001  # of a part that is worth a row
LEVEL_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Row:
    """A fact about each of the runs."""

    name: str
    values: list[Value]  # of each run; None: unknown, or without meaning for it
    cells: list[str]  # likewise, as text


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs side by side; the first one is that to which speed-ups refer."""

    runs: list[RunRecord]
    measure: str | None  # by which they are compared; None: they have none in common
    level: float | None  # the best value of the run whose best value is the worst: all reach it
    differences: list[Row]  # fields of their jobs, and the versions that trained them
    results: list[Row]
    parts: list[Row]  # seconds of the median rank in a mean epoch, by part
    to_level: list[Row]  # the effort until each was as good as ``level``; empty without a level
    notes: list[str]  # on the meaning of the comparison

    @property
    def cost_basis(self) -> str:
        """The meaning of costs on the local AWS, where nobody pays; empty for others."""
        return LOCAL_BASIS if any(run.is_local for run in self.runs) else ""

    @property
    def level_text(self) -> str:
        """The level in words: ``loss ≤ 0.0784``."""
        if self.measure is None or self.level is None:
            return ""
        sign = "≥" if MEASURES.get(self.measure) else "≤"
        return f"{self.measure} {sign} {on_its_own(self.level, LEVEL_DIGITS)}"


def compare(runs: Sequence[RunRecord]) -> Comparison:
    """Return the comparison of runs, which may still be running or have failed."""
    measure = _measure(runs)
    level = None if measure is None else _level(runs, measure)
    return Comparison(
        runs=list(runs),
        measure=measure,
        level=level,
        differences=[*_settings(runs), *_environment(runs)],
        results=_results(runs),
        parts=_parts(runs),
        to_level=[] if measure is None or level is None else _to_level(runs, measure, level),
        notes=_notes(runs, measure),
    )


def _measure(runs: Sequence[RunRecord]) -> str | None:
    """Return the measure by which runs are compared: their own, the loss, or a common metric."""
    specs = [run.spec for run in runs if run.spec is not None]
    own = {spec.stop.metric for spec in specs}
    common = _common_metrics(runs)
    if len(own) == 1 and own <= common:
        return own.pop()
    if len({tag(spec.model) for spec in specs}) == 1:
        return LOSS
    return next((name for name in MEASURES if name in common), None)


def _common_metrics(runs: Sequence[RunRecord]) -> set[str]:
    found = [set(run.model_report.metrics) for run in runs if run.model_report is not None]
    return set.intersection(*found) if found else set()


def _level(runs: Sequence[RunRecord], measure: str) -> float | None:
    best = [best_value(run, measure) for run in runs]
    known = [value for value in best if value is not None]
    if len(known) < 2:
        return None
    return max(known, key=lambda value: rank_of(measure, value))


def _settings(runs: Sequence[RunRecord]) -> list[Row]:
    found = differing([run.spec for run in runs])
    return [Row(path, values, list(map(_as_text, values))) for path, values in found.items()]


def _environment(runs: Sequence[RunRecord]) -> list[Row]:
    """Return a row for each version and setting of deployments that is known, and differs."""
    names = dict.fromkeys(name for run in runs for name in run.environment)
    rows = [_row(name, [run.environment.get(name) for run in runs], str) for name in names]
    return [row for row in rows if None not in row.values and len(set(row.values)) > 1]


def _results(runs: Sequence[RunRecord]) -> list[Row]:
    reports = [run.model_report for run in runs]
    rows = [
        _row("status", [run.status for run in runs], status_word),
        _row("error", [run.failure.error if run.failure else None for run in runs], str),
        _row("epochs", [len(run.epochs) for run in runs], str),
        _row("loss", [None if each is None else each.loss for each in reports], _measured),
        *_metrics(reports),
        _row("time", [run.seconds for run in runs], duration),
        _row("· training", [training_seconds(run) for run in runs], duration),
        _row("· an epoch", [_epoch_seconds(run) for run in runs], _precise),
        _row("epoch speed-up", _ratios([_epoch_seconds(run) for run in runs]), _ratio),
        _row("communication", [run.communication_share for run in runs], _share),
        _row("cost", [run.cost_usd for run in runs], _dollars),
        _row("failed attempts", [len(run.failed_attempts) or None for run in runs], str),
    ]
    return [row for row in rows if any(value is not None for value in row.values)]


def mean_parts(run: RunRecord) -> dict[str, float]:
    """Return the seconds of the median rank by part, the mean of all epochs; empty if unknown."""
    known = [parts for each in run.epochs if (parts := median_parts(each))]
    names = dict.fromkeys(name for parts in known for name in parts)
    return {name: fmean(parts.get(name, 0.0) for parts in known) for name in names}


def _parts(runs: Sequence[RunRecord]) -> list[Row]:
    found = [mean_parts(run) for run in runs]
    names = dict.fromkeys(name for parts in found for name in parts)
    rows = [_row(name, [parts.get(name) for parts in found], _milliseconds) for name in names]
    return [row for row in rows if any((value or 0.0) >= LEAST_SECONDS for value in row.values)]


def _metrics(reports: Sequence[EpochReport | None]) -> list[Row]:
    names = dict.fromkeys(name for each in reports if each is not None for name in each.metrics)
    return [
        _row(
            name, [None if each is None else each.metrics.get(name) for each in reports], _measured
        )
        for name in names
    ]


def training_seconds(run: RunRecord) -> float | None:
    """Return the seconds of a run's epochs, without failed attempts and pauses."""
    return run.epochs[-1].active_seconds if run.epochs else None


def _epoch_seconds(run: RunRecord) -> float | None:
    return fmean(each.seconds for each in run.epochs) if run.epochs else None


def _to_level(runs: Sequence[RunRecord], measure: str, level: float) -> list[Row]:
    found = [first_at(run, measure, level) for run in runs]
    seconds = [None if each is None else each.active_seconds for each in found]
    dollars = [None if each is None else each.total_cost_usd for each in found]
    return [
        _row("epochs", [None if each is None else each.epoch for each in found], str),
        _row("training", seconds, duration),
        _row("speed-up", _ratios(seconds), _ratio),
        _row("cost", dollars, _dollars),
        _row("times cheaper", _ratios(dollars), _ratio),
    ]


def _ratios(values: Sequence[float | None]) -> list[float | None]:
    """Return how many times less each value is than the first one."""
    first = values[0]
    return [first / value if first is not None and value else None for value in values]


def _notes(runs: Sequence[RunRecord], measure: str | None) -> list[str]:
    notes = []
    if _differs(runs, _data):
        notes.append("the runs learnt from different data, or read them differently")
    if _differs(runs, _validation):
        notes.append("the runs are judged by different validation rows")
    if measure is None and any(run.epochs for run in runs):
        notes.append("models of these kinds have no measure in common")
    if len({run.is_local for run in runs if run.started_at is not None}) > 1:
        notes.append("some runs are of the local AWS, so times and costs are of unlike machines")
    return notes


def _differs(runs: Iterable[RunRecord], fact: Callable[[RunRecord], object]) -> bool:
    return len({found for run in runs if (found := fact(run)) is not None}) > 1


def _data(run: RunRecord) -> object:
    if isinstance(run.dataset, DatasetReport):
        return run.dataset.digest
    return None


def _validation(run: RunRecord) -> object:
    """Return the settings that decide the rows for validation, beside the data themselves."""
    if run.spec is None:
        return None
    data = run.spec.data
    return data.validation_fraction, repr(data.validation), data.seed, data.stratify


def _row(name: str, values: Sequence[Value], text: Callable[[Any], str]) -> Row:
    return Row(name, list(values), [ABSENT if each is None else text(each) for each in values])


def _as_text(value: Value) -> str:
    if value is None:
        return ABSENT
    return value if isinstance(value, str) else json.dumps(value)


def _measured(value: float) -> str:
    return on_its_own(value, 4)


def _precise(seconds: float) -> str:
    return f"{seconds:.2f} s"


def _milliseconds(seconds: float) -> str:
    return f"{seconds:.3f} s"


def _share(share: float) -> str:
    return f"{share:.0%}"


def _ratio(ratio: float) -> str:
    return f"{shown(ratio, 2)} ×"


def _dollars(usd: float) -> str:
    return f"$ {cost(usd)}"
