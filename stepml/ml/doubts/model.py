"""Doubts about a trained model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from stepml.job.reports import JobWarning
from stepml.job.spec import JobSpec
from stepml.job.spec_base import settled
from stepml.ml.convergence import EndedBy, advice, advice_on_scale
from stepml.ml.doubts.decisions import Decisions, if_one_validates, if_rarely_predicted
from stepml.ml.second_opinion import Better

_MARGIN = 0.01  # relative; validation rows are a sample
_SURE_MARGIN, _NOISE = 1e-3, 0.1  # a loss above the constant model's by less is no better
_RISE = 0.05  # relative: smaller ones are noise of the steps
_RISES, _SHARE_OF_RISES = 3, 0.25
_STILL = 0.25  # share of the epochs, the last ones, among which a rise must be
_LONG, _LONG_STEPS = 30, 5  # epochs of a long course, and the steps into which it is cut
_PAST_BEST = 0.1  # relative
_LEAST = 1e-6  # of the constant model's or the first loss: less is a rounding error
_STRONG = 0.5  # l2: that of few rows by default is less
_SAY_LITTLE = "the features may say little about the labels"

# Changes that let a job go on, by the criterion that ended it.
_LATER: dict[EndedBy, str] = {
    "target_loss": "lower stop.target_loss",
    "target": "change stop.target",
    "tolerance": "lower stop.tolerance",
    "algorithm": "lower the tolerances of the algorithm",
    "max_epochs": "raise stop.max_epochs",
    "max_seconds": "raise stop.max_seconds",
    "max_cost_usd": "raise stop.max_cost_usd",
}


@dataclass(frozen=True, slots=True)
class Training:
    """The course and the result of a job.

    Losses are those of the validation rows, unless it says otherwise.
    """

    loss: float  # of the job's model
    losses: Sequence[float]  # after each epoch
    ended_by: EndedBy
    training_loss: float  # of the last epoch
    validation_rows: int
    constant_loss: float | None = None  # of the best model that ignores the features
    first_loss: float | None = None  # before training
    better: Better | None = None  # a better model than the job's
    empty_clusters: int = 0
    decisions: Decisions | None = None  # of a classifier

    @property
    def is_steady(self) -> bool:
        """Whether the loss fell in each of the last epochs, and rose in none before."""
        last = self._course[-4:]
        falls = len(last) > 1 and all(after < before for before, after in pairwise(last))
        return falls and not self.n_rises

    @property
    def is_long(self) -> bool:
        """Whether the course of the losses foretells the epochs to come."""
        return len(self.losses) >= _LONG

    @property
    def n_rises(self) -> int:
        """Epochs in which the loss rose, noise aside."""
        return sum(self._rises)

    @property
    def still_rises(self) -> bool:
        """Whether one of these was among the last epochs: a falling rate calms most jobs."""
        return any(self._rises[-math.ceil(_STILL * len(self.losses)) :])

    @property
    def _rises(self) -> list[bool]:
        # Where the loss ends at 0, it may double without harm.
        least = _MARGIN * abs(self._course[0])
        return [
            after - before > max(_RISE * abs(before), least)
            for before, after in pairwise(self.losses)
        ]

    @property
    def _course(self) -> list[float]:
        before = [] if self.first_loss is None else [self.first_loss]
        return [*before, *self.losses]

    def has_learnt(self, loss: float) -> bool:
        """Return whether the model suits the training rows, given the ``loss`` of a trivial one."""
        suits = self.training_loss < loss or self.ended_by == "algorithm"
        return self.better is None and suits

    def has_reached(self, loss: float) -> bool:
        """Return whether the loss after some epoch was at most ``loss``, noise aside."""
        best = min(self.losses, default=self.loss)
        return best - loss <= _MARGIN * abs(best)

    def exceeds(self, other: float) -> bool:
        """Return whether the loss is higher than ``other``, noise aside."""
        return self.loss > other + _MARGIN * abs(other) + self.rounding

    @property
    def rounding(self) -> float:
        """The size of differences that are rounding errors."""
        return _LEAST * max(abs(self.constant_loss or 0.0), abs(self.first_loss or 0.0))


def doubts_about_model(spec: JobSpec, training: Training) -> list[JobWarning]:
    """Return warnings about a trained model; of those about its loss, the most serious one."""
    checks = (
        _if_one_validates,
        _if_worse,
        _if_risen,
        _if_oscillating,
        _if_past_best,
        _if_better,
        _if_falling,
        _if_no_better,
    )
    found = (check(spec, training) for check in checks)
    about_loss = next((warning for warning in found if warning), None)
    return [
        *([about_loss] if about_loss else []),
        *if_rarely_predicted(spec, training.decisions, about_loss),
        *_if_empty(training),
    ]


def _if_one_validates(spec: JobSpec, training: Training) -> JobWarning | None:
    return if_one_validates(spec, training.decisions)


def _if_worse(spec: JobSpec, training: Training) -> JobWarning | None:
    constant = training.constant_loss
    if constant is None or not training.exceeds(constant):
        return None
    text = (
        f"the validation loss {training.loss:.6g} is worse than that of {_constant(spec)}, "
        f"{constant:.6g}: "
    )
    if training.has_learnt(constant):
        text += f"{_little(spec)}, or the rows are too few"
    else:
        text += _more(spec, training) if training.is_steady else advice(spec)
    return JobWarning(code="worse_than_constant", text=text)


def _if_risen(spec: JobSpec, training: Training) -> JobWarning | None:
    first = training.first_loss
    if first is None or not training.exceeds(first):
        return None
    text = f"the validation loss rose from {first:.6g} to {training.loss:.6g} in training: "
    if training.has_learnt(first):
        text += f"{_little(spec)}, or the rows are too few"
    else:
        text += advice(spec)
    return JobWarning(code="loss_rose", text=text)


def _if_oscillating(spec: JobSpec, training: Training) -> JobWarning | None:
    rises = training.n_rises
    least = max(_RISES, _SHARE_OF_RISES * len(training.losses))
    falls = sum(after < before for before, after in pairwise(training.losses))
    if rises < least or falls < _RISES - 1 or not training.still_rises:
        return None
    text = (
        f"the validation loss rose by more than {_RISE:.0%} in {rises} of "
        f"{len(training.losses)} epochs: {advice(spec)}"
    )
    return JobWarning(code="loss_oscillates", text=text)


def _if_past_best(spec: JobSpec, training: Training) -> JobWarning | None:
    """Return a warning if an earlier epoch had a much better model, as where it overfits."""
    if spec.stop.keep == "best":  # by another metric, if not by the loss
        return None
    best = min(training.losses, default=training.loss)
    first = training.losses[0] if training.losses else training.loss
    margin = _PAST_BEST + 1 / math.sqrt(training.validation_rows or 1)  # few rows tell less
    if training.loss - best <= max(margin * abs(best), _MARGIN * abs(first)):
        return None
    larger = " or raise model.l2" if "l2" in type(spec.model).__struct_fields__ else ""
    text = (
        f"the validation loss was {best:.6g} after epoch {training.losses.index(best) + 1}, and "
        f"is {training.loss:.6g}: set stop.keep to 'best'{larger}"
    )
    return JobWarning(code="rose_after_best", text=text)


def _if_better(spec: JobSpec, training: Training) -> JobWarning | None:
    better = training.better
    if better is None or (spec.stop.keep == "best" and training.has_reached(better.loss)):
        return None
    text = (
        f"the validation loss can fall from {training.loss:.6g} to {better.loss:.6g} or less, as "
        f"a few steps of L-BFGS on {better.rows:,} training rows show: {_more(spec, training)}"
    )
    return JobWarning(code="not_converged", text=text)


def _if_falling(spec: JobSpec, training: Training) -> JobWarning | None:
    """Return a warning if the last epochs let expect a fall.

    Clusters get no second opinion, and that of models with many parameters may find nothing: a few
    steps on a sample only fit its rows better.
    """
    if training.ended_by in ("target_loss", "target", "algorithm"):
        return None
    every = 1
    if spec.model.needs_labels:
        if not (training.is_long and training.is_steady and spec.model.is_convex):
            return None
        every = len(training.losses) // _LONG_STEPS
    course = training.losses[::-every][::-1]
    expected = min(_expected_fall(course), training.loss)  # no cluster has less than 0
    if expected <= _MARGIN * training.loss or expected <= training.rounding:
        return None
    text = (
        f"the validation loss {training.loss:.6g} still falls, by about "
        f"{expected / training.loss:.0%} in the epochs to come: {_more(spec, training)}"
    )
    return JobWarning(code="not_converged", text=text)


def _if_no_better(spec: JobSpec, training: Training) -> JobWarning | None:
    constant = training.constant_loss
    if constant is None or (constant == 0 and spec.model.needs_labels):  # labels are all the same
        return None
    margin = max(_SURE_MARGIN, _NOISE / math.sqrt(max(1, training.validation_rows)))
    if training.loss < constant - margin * abs(constant):
        return None
    reason = _little(spec) if spec.model.needs_labels else "the rows form no clusters"
    text = (
        f"the validation loss {training.loss:.6g} is hardly better than that of {_constant(spec)}, "
        f"{constant:.6g}: {reason}"
    )
    return JobWarning(code="no_better_than_constant", text=text)


def _if_empty(training: Training) -> list[JobWarning]:
    empty = training.empty_clusters
    if not empty:
        return []
    text = f"{empty} cluster{'s have' if empty > 1 else ' has'} no rows: lower model.n_clusters"
    return [JobWarning(code="empty_clusters", text=text)]


def _little(spec: JobSpec) -> str:
    """Return the reason why a model that suits its rows is like one that ignores the features."""
    large = [
        name
        for name, factor, least in (
            ("l1", spec.model.l1_factor, 0.0),
            ("l2", spec.model.l2_factor, _STRONG),
        )
        if factor > least
    ]
    return "".join([_SAY_LITTLE, *(f", or model.{name} is too large" for name in large)])


def _constant(spec: JobSpec) -> str:
    return "a model that ignores the features" if spec.model.needs_labels else "one cluster"


def _more(spec: JobSpec, training: Training) -> str:
    """Return changes to a job that ends too early."""
    boosts = settled(spec.algorithm).boosts(spec.model, is_steady=training.is_steady)
    first, rest = _LATER[training.ended_by], [*boosts, *advice_on_scale(spec)]
    verb = first.split()[0] + " "
    return " or ".join([first, *(each.removeprefix(verb) for each in rest)])


def _expected_fall(losses: Sequence[float]) -> float:
    """Return the sum of all falls to come if they shrink like the last two."""
    if len(losses) < 3:
        return 0.0
    before, last = losses[-3] - losses[-2], losses[-2] - losses[-1]
    if last <= 0 or before <= 0:
        return 0.0
    shrinking = min(last / before, 0.9)
    return last * shrinking / (1 - shrinking)
