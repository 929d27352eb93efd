"""The standing of an epoch among those before it, by the job's measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from stepml.job.errors import InvalidDataError
from stepml.job.measures import LOSS, rank_of
from stepml.job.reports import EpochReport
from stepml.job.spec import Stop

_ONE_LABEL = ", as all have the same label"
_REASONS = {
    "auc": f"{_ONE_LABEL}, or there are more than two",
    "average_precision": f"{_ONE_LABEL}, or there are more than two",
    "r2": _ONE_LABEL,
    "top5_accuracy": ", as there are at most 5 classes",
}


class Measured(Protocol):
    """Loss and metrics on the validation rows."""

    @property
    def loss(self) -> float: ...
    @property
    def metrics(self) -> dict[str, float]: ...


@dataclass(frozen=True, slots=True)
class Standing:
    """The value of an epoch, and the best one of all epochs before it."""

    measure: str  # a name in `MEASURES`
    value: float
    best_before: float | None = None  # None: this is the first epoch

    @classmethod
    def of(
        cls,
        stop: Stop,
        measured: Measured,
        previous: EpochReport | None,
        history: Callable[[], Sequence[EpochReport]],
    ) -> Self:
        """Return the standing of the epoch that was ``measured``.

        Parameters
        ----------
        stop : Stop
        measured : Measured
        previous : EpochReport or None
            The report of the epoch before.
        history : callable
            Returns the reports of all epochs before; it is called if ``previous`` belongs to a job
            with another measure, which was resumed.
        """
        value = value_of(measured, stop.metric)
        if previous is None:
            return cls(stop.metric, value)
        if stop.metric == LOSS:
            return cls(LOSS, value, previous.best_loss)
        if previous.measure == stop.metric:
            return cls(stop.metric, value, previous.best_value)
        before = history()
        best = before[best_epoch(stop, before) - 1]
        return cls(stop.metric, value, value_of(best, stop.metric))

    @property
    def best(self) -> float:
        """The best value, with this epoch's."""
        known = [self.value] if self.best_before is None else [self.best_before, self.value]
        return min(known, key=lambda value: rank_of(self.measure, value))

    def improves_by_more_than(self, tolerance: float) -> bool:
        """Return whether the value exceeds the best one before by more than ``tolerance``."""
        if self.best_before is None:
            return True
        before = rank_of(self.measure, self.best_before)
        return rank_of(self.measure, self.value) < before - tolerance

    def reaches(self, target: float) -> bool:
        """Return whether the value is as good as ``target``."""
        return rank_of(self.measure, self.value) <= rank_of(self.measure, target)


def value_of(measured: Measured, measure: str) -> float:
    """Return the value of a measure, or raise `InvalidDataError` if the rows do not have it."""
    if measure == LOSS:
        return measured.loss
    if measure not in measured.metrics:
        known = ", ".join([LOSS, *measured.metrics])
        raise InvalidDataError(
            f"stop.metric: the validation rows have no {measure}{_REASONS.get(measure, '')}; "
            f"expected one of {known}"
        )
    return measured.metrics[measure]


def best_epoch(stop: Stop, history: Sequence[EpochReport]) -> int:
    """Return the number of the epoch with the best value, the first one of equal values."""
    return min(history, key=lambda each: rank_of(stop.metric, value_of(each, stop.metric))).epoch


def kept_epoch(stop: Stop, history: Sequence[EpochReport]) -> int:
    """Return the number of the epoch whose model is the job's."""
    return best_epoch(stop, history) if stop.keep == "best" else history[-1].epoch
