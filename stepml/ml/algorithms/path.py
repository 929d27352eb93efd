"""The path of parameters through an epoch."""

from __future__ import annotations

from collections.abc import Callable

from stepml.ml.algorithms.descent import Descent
from stepml.ml.algorithms.shrinkage import Shrinkage
from stepml.ml.algorithms.state import Extras
from stepml.ml.models.base import Floats, Penalty

MOMENTS = "moments"  # name in `RankProgress.extras`


class Path:
    """Parameters that each step changes in place.

    Parameters
    ----------
    descent : Descent
    penalty : Penalty
    w : array of shape (n_parameters,)
    extras : mapping
        The `extras` where the path was left, or the moments alone.
    pull : callable, optional
        Called after each step, with the parameters and the step's rate.

    Attributes
    ----------
    w : array of shape (n_parameters,)
        A copy; the present parameters.
    """

    def __init__(
        self,
        descent: Descent,
        penalty: Penalty,
        w: Floats,
        extras: Extras,
        pull: Callable[[Floats, float], None] | None = None,
    ) -> None:
        self.w = w.copy()
        self._descent = descent
        self._penalty = penalty
        self._moments = extras[MOMENTS].copy()
        self._shrinkage = Shrinkage.of(penalty, extras)
        self._pull = pull

    @property
    def extras(self) -> Extras:
        """The arrays from which the path can be resumed; the next step changes them."""
        shrinkage = {} if self._shrinkage is None else self._shrinkage.pack()
        return {MOMENTS: self._moments, **shrinkage}

    def step(self, gradient: Floats, epochs: float, number: int) -> None:
        """Make a step along ``gradient``, which is overwritten; see `Descent.step`."""
        rate = self._descent.step(self.w, gradient, self._penalty, self._moments, epochs, number)
        if self._shrinkage is None:
            self.w -= gradient
        else:
            reach = self._descent.optimiser.reach(self._moments, rate, number)
            self._shrinkage.take(self.w, gradient, reach, self._penalty.l1)
        if self._pull is not None:
            self._pull(self.w, rate)
