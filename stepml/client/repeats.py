"""Several runs of a job that differ in their seed, and the mean of their results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any, Self

from stepml.job.errors import InvalidJobError
from stepml.job.reports import JobReport, total_cost_usd
from stepml.records.errors import RunNameTakenError

if TYPE_CHECKING:
    from stepml.client import Client, Run

MOST_REPEATS = 1000


@dataclass(frozen=True, slots=True)
class Repeat:
    """One run of several."""

    name: str
    seed: int
    job: str  # its JSON text


def repeats(name: str, job: dict[str, Any], count: int) -> list[Repeat]:
    """Return ``count`` runs of a valid job, named ``<name>-s1`` and so on.

    The first one has the job's own ``data.seed``, each other one the next seed.

    Raises
    ------
    InvalidJobError
        The job takes over the epochs of another one, which have its seed.
    """
    if job.get("resume_from") is not None:
        raise InvalidJobError("resume_from: a job that goes on with another one has its seed")
    data = job["data"]
    first = int(data.get("seed", 0))
    return [
        Repeat(each, seed, json.dumps(job | {"data": data | {"seed": seed}}))
        for seed, each in enumerate(repeated_names(name, count), first)
    ]


def repeated_names(name: str, count: int) -> list[str]:
    """Return the names of ``count`` runs: ``<name>-s1`` and so on."""
    return [f"{name}-s{number}" for number in range(1, count + 1)]


def start_or_find(client: Client, repeat: Repeat) -> Run:
    """Start a run, or return the one that the same command has started before.

    Raises
    ------
    RunNameTakenError
        Another job has had the name.
    """
    try:
        return client.run(repeat.job, repeat.name)
    except RunNameTakenError:
        found = client.named(repeat.name)
        if found.state.job != repeat.job:
            raise
        return found


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and deviation of a value over several runs."""

    mean: float
    deviation: float  # of the sample; 0 of one run

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the spread of ``values``, at least one."""
        return cls(mean(values), stdev(values) if len(values) > 1 else 0.0)


def spreads(reports: Sequence[JobReport]) -> dict[str, Spread]:
    """Return the spread of loss, metrics, epochs, seconds and cost, by name; of no report none."""
    found = [_values(report) for report in reports]
    names = [name for name in (found[0] if found else {}) if all(name in each for each in found)]
    return {name: Spread.of([each[name] for each in found]) for name in names}


def _values(report: JobReport) -> dict[str, float]:
    return {
        "loss": report.loss,
        **report.metrics,
        "epochs": float(report.epochs),
        "seconds": report.seconds,
        "cost_usd": total_cost_usd(report),
    }
