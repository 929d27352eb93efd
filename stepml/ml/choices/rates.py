"""The learning rate: short rehearsals of the job on a sample, with rates from small to large.

The unit of rates is 1/L, with L the largest eigenvalue of X'X/n, to which the curvature of all
losses is proportional. So a few powers of two have the right one among them.
"""

from __future__ import annotations

import msgspec

from stepml.job.choices import filled
from stepml.job.spec import JobSpec
from stepml.job.spec_base import open_fields_of, settled
from stepml.ml.choices.rehearsal import Rehearsal, Result
from stepml.ml.models.base import Array, Floats, LossModel, Matrix

_CAREFUL = -2  # the power of 2 without rehearsals
_POWERS = (-4, -2, 0, 2, 4)  # of 2, in units of 1/L; then their neighbours
_LOWEST, _HIGHEST = -12, 10
_LARGEST_AHEAD = 2  # the first one from the minimum of a sample
_CAREFUL_AHEAD = 3  # powers below the largest rate that stays, if one epoch is all
_ALIKE = 0.003  # relative difference of results that count as equal
_LEAST_RATE = 1e-37
_OVERFIT = 0.05  # relative difference of losses on other rows that may be chance


def rate_is_open(spec: JobSpec) -> bool:
    """Return whether the learning rate is open, and has an effect."""
    algorithm = settled(spec.algorithm)
    is_open = "learning_rate" in open_fields_of(algorithm)
    return is_open and algorithm.rehearsed(spec.model) is not None


def with_rate(spec: JobSpec, model: LossModel, start: Floats, X: Matrix, y: Array) -> JobSpec:
    """Return the job with a learning rate.

    Parameters
    ----------
    spec : JobSpec
        With all other values.
    model : LossModel
    start : array of shape (n_parameters,)
        The parameters before the first epoch.
    X : matrix of shape (n_samples, n_features)
        A sample of the training rows, prepared as for training.
    y : array of shape (n_samples, …)
        Their targets.
    """
    algorithm = settled(spec.algorithm)
    fields = algorithm.rehearsed(spec.model)
    assert fields is not None
    rate = Search(Rehearsal(spec, fields, model, start, X, y)).best()
    if spec.exchange.pattern == "async" and not fields.averages_models:
        rate /= spec.workers  # each rank makes a step of its own of what is one step together
    algorithm = filled(algorithm, {"learning_rate": _rounded(rate)})
    return msgspec.structs.replace(spec, algorithm=algorithm)


class Search:
    """The search for the rate with the best rehearsal.

    Parameters
    ----------
    rehearsal : Rehearsal
    """

    def __init__(self, rehearsal: Rehearsal) -> None:
        self._rehearsal = rehearsal
        self._found: dict[int, Result] = {}  # by powers of 2

    def best(self) -> float:
        """Return the rate in the middle of those whose results are alike and best.

        From the minimum of a sample, the lowest rate would be best for the sample. There it is half
        of the largest rate that does not lead away, or an eighth if no epoch leads back.
        """
        if not self._rehearsal.is_affordable:
            return self._rate(_CAREFUL)
        if self._rehearsal.fields.starts_at_sample:
            is_short = settled(self._rehearsal.spec.stop.max_epochs) == 1
            return self._rate(self._largest_that_stays() - (_CAREFUL_AHEAD if is_short else 1))
        for power in _POWERS:
            self._try(power)
        while untried := self._neighbours - self._found.keys():
            for power in sorted(untried):
                self._try(power)
        sound = self._sound
        most = (1 + _ALIKE) * min(sound.values())
        alike = [power for power in sorted(sound) if sound[power] <= most]
        return self._rate(alike[(len(alike) - 1) // 2])

    def _largest_that_stays(self) -> int:
        start = self._rehearsal.start
        # Beside a large penalty, the loss could rise by a multiple of this share.
        objective = self._rehearsal.quality(start).objective
        most = objective + _ALIKE * (objective - self._rehearsal.model.penalty.value(start))
        power = _LARGEST_AHEAD
        while power > _LOWEST and self._rehearsal.result(self._rate(power)).objective > most:
            power -= 2
        return power

    def _try(self, power: int) -> None:
        self._found[power] = self._rehearsal.result(self._rate(power))

    @property
    def _sound(self) -> dict[int, float]:
        """The objective by the powers whose models are about as good as any on other rows."""
        most = (1 + _OVERFIT) * min(result.elsewhere for result in self._found.values())
        return {
            power: result.objective
            for power, result in self._found.items()
            if result.elsewhere <= most
        }

    @property
    def _neighbours(self) -> set[int]:
        """The powers beside the best one."""
        sound = self._sound
        best = min(sound, key=lambda power: (sound[power], power))
        return {max(best - 1, _LOWEST), min(best + 1, _HIGHEST)}

    def _rate(self, power: int) -> float:
        return _rounded(self._rehearsal.unit * 2.0**power)


def _rounded(rate: float) -> float:
    """Return ``rate`` with two digits, within the limits of the field and of float32."""
    return float(f"{min(max(rate, _LEAST_RATE), 1e6):.2g}")
