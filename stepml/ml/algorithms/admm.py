"""ADMM in consensus form: each rank fits a model of its own, pulled towards the consensus.

Boyd, Parikh, Chu, Peleato, Eckstein: Distributed Optimization and Statistical Learning via the
Alternating Direction Method of Multipliers, 2011; scaled form, sections 3.1.1 and 7.1. The names
are theirs: ``x`` a rank's model, ``z`` the consensus, ``u`` the scaled dual, ``rho``.

The mean loss over all rows is W⁻¹·Σ_r f_r with f_r = (W·n_r/N) · mean loss of rank r, so ``rho``
means the same whatever the number of ranks and rows. The penalty is W⁻¹·Σ_r g, in the z-update.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np

from stepml.job.algorithms import Admm as Spec
from stepml.job.spec import JobSpec
from stepml.ml import lbfgs
from stepml.ml.algorithms.base import LabelledSample, OrchestratedAlgorithm, never
from stepml.ml.algorithms.descent import Descent, Schedule, Sgd
from stepml.ml.algorithms.local import LocalDescent
from stepml.ml.algorithms.state import (
    Extras,
    Outcome,
    RankEpoch,
    RankProgress,
    Residuals,
    State,
    Sums,
)
from stepml.ml.models.base import Array, Floats, LossModel, Matrix, Sample

# Section 3.4.1: rho changes by this factor where one residual is ten times the other.
_FACTOR, _IMBALANCE = 2.0, 10.0
_LBFGS = "lbfgs_"  # prefix of the solver's arrays in `RankProgress.extras`
# Losses are float32: relative falls below this are rounding errors.
_ENDS = {"tolerance": 0.0, "least_fall": 1e-9}


@dataclass(frozen=True, slots=True)
class Admm(OrchestratedAlgorithm[LossModel]):
    """Each rank minimises alone and contributes x + u, from which z is computed.

    The durable store has x and u of each rank. A rank knows z, and so its primal residual, only at
    the start of its next epoch: its contribution has the residual of the epoch before.
    """

    keeps_rank_state = True
    bytes_per_parameter = 64 + 8 * (2 * lbfgs.MEMORY + 8)  # float64 steps and changes

    spec: Spec
    solver: Literal["lbfgs", "sgd"]  # of a rank's own problem
    block_rows: int = 2**14  # differentiated at once: intermediate arrays stay in the cache

    @classmethod
    def from_job(cls, job: JobSpec) -> Self:
        assert isinstance(job.algorithm, Spec)
        return cls(job.algorithm, job.algorithm.solver(job.model))

    def initial_state(self, model: LossModel, parameters: Floats, sample: LabelledSample) -> State:
        return State(
            parameters, {"rho": _number(self.spec.rho), "dual_residual": _number(math.inf)}
        )

    def begin(
        self, model: LossModel, state: State, rank_state: Extras, rank_epoch: RankEpoch
    ) -> RankProgress:
        z, rho = state.parameters, state.extras["rho"].item()
        x = rank_state.get("x", z)
        u = rank_state.get("u", np.zeros_like(z))
        residual = x - z
        u = (u + residual) * np.float32(_ratio(rank_state, rho))  # the u-update, in today's scale
        squares = [_square(residual), _square(x), _square(u)]
        extras = {"u": u, "anchor": z - u, "squares": np.array(squares)}
        # The curvature is close to that of the epoch before, which saves evaluations.
        reach = rank_state.get("reach", _number(0.0))
        return RankProgress(x, extras=extras | {"rho": _number(rho), "reach": reach})

    def train(
        self,
        model: LossModel,
        progress: RankProgress,
        X: Matrix,
        y: Array,
        rank_epoch: RankEpoch,
        must_pause: Callable[[], bool] = never,
    ) -> RankProgress:
        share = rank_epoch.weight * rank_epoch.world_size
        solve = self._descend if self.solver == "sgd" else self._minimise
        objective = _Objective(model, progress, X, y, share, self.block_rows)
        return solve(objective, progress, rank_epoch, must_pause)

    def rank_result(self, progress: RankProgress) -> Extras:
        carried = {name: progress.extras[name] for name in ("u", "rho", "squares", "reach")}
        return {"x": progress.parameters, "loss": progress.loss, **carried}

    def contribution(self, rank_state: Extras, rank_epoch: RankEpoch) -> tuple[Array, Sums]:
        vector = (rank_state["x"] + rank_state["u"]) / np.float32(rank_epoch.world_size)
        return vector, np.concatenate([rank_state["loss"], rank_state["squares"]])

    def next_state(
        self,
        model: LossModel,
        state: State,
        vector: Array,
        trailer: Sums,
        rank_epoch: RankEpoch,
        sample: Sample,
    ) -> Outcome:
        rho, before = state.extras["rho"].item(), state.extras["dual_residual"].item()
        z = np.array(vector)
        model.penalty.minimise_near(z, rho)
        residuals = self._residuals(state.parameters, trailer, rho, before, rank_epoch)
        dual = rho * math.sqrt(rank_epoch.world_size * _square(z - state.parameters))
        extras = {"rho": _number(self._next_rho(rho, residuals)), "dual_residual": _number(dual)}
        ends = residuals is not None and residuals.are_small
        return Outcome(
            State(z, extras),
            float(trailer[0] / trailer[1]),
            "primal and dual residual are within their tolerances" if ends else None,
            residuals,
        )

    def _minimise(
        self,
        objective: _Objective,
        progress: RankProgress,
        rank_epoch: RankEpoch,
        must_pause: Callable[[], bool],
    ) -> RankProgress:
        extras, done = progress.extras, progress.batches_done
        if done:
            now = lbfgs.Iterate.unpack({name: extras[_LBFGS + name] for name in lbfgs.ARRAYS})
        else:
            begin = progress.parameters.astype(np.float64)
            now = lbfgs.start(objective.value_and_gradient, begin, extras["reach"].item())
        finished = now.at_end
        while not finished:
            if done > progress.batches_done:
                objective.must_pause = must_pause
            try:
                now = lbfgs.advance(objective.value_and_gradient, now, **_ENDS)
            except _PausedError:  # the next call repeats the iteration
                break
            done += 1
            finished = now.at_end or done >= self.spec.local_iterations
        objective.must_pause = never
        x = now.x.astype(np.float32)
        packed = {_LBFGS + name: array for name, array in now.pack().items()}
        return replace(
            progress,
            parameters=x,
            batches_done=done,
            loss_sum=objective.loss(x) if finished else 0.0,
            rows_seen=len(objective),
            finished=finished,
            extras={**extras, **packed, "reach": _number(now.reach)},
        )

    def _descend(
        self,
        objective: _Objective,
        progress: RankProgress,
        rank_epoch: RankEpoch,
        must_pause: Callable[[], bool],
    ) -> RankProgress:
        # Each epoch solves another problem, so the learning rate falls within each epoch.
        descent = Descent(Sgd(), Schedule(self.spec.learning_rate, "restarts"))
        local = LocalDescent(descent, self.spec.batch_size, self.spec.local_epochs)
        if not progress.batches_done:
            extras = {**progress.extras, **local.begin(progress.parameters).extras}
            progress = replace(progress, extras=extras)
        done = local.run(
            progress,
            objective.X,
            objective.y,
            rank_epoch,
            objective.gradient,
            objective,
            must_pause,
        )
        return replace(done, extras={**progress.extras, **done.extras})

    def _residuals(
        self, z: Floats, trailer: Sums, rho: float, dual: float, rank_epoch: RankEpoch
    ) -> Residuals | None:
        """Return the residuals of the epoch before, of consensus ``z``; None in the first epoch."""
        if not math.isfinite(dual):
            return None
        primal, x, u = np.sqrt(trailer[2:]).tolist()
        size = math.sqrt(rank_epoch.world_size * z.size)
        absolute, relative = self.spec.absolute_tolerance, self.spec.relative_tolerance
        consensus = math.sqrt(rank_epoch.world_size * _square(z))
        return Residuals(
            primal=primal,
            primal_tolerance=size * absolute + relative * max(x, consensus),
            dual=dual,
            dual_tolerance=size * absolute + relative * rho * u,
        )

    def _next_rho(self, rho: float, residuals: Residuals | None) -> float:
        if not self.spec.adaptive_rho or residuals is None:
            return rho
        if residuals.primal > _IMBALANCE * residuals.dual:
            return rho * _FACTOR
        if residuals.dual > _IMBALANCE * residuals.primal:
            return rho / _FACTOR
        return rho


class _PausedError(Exception):
    """The deadline is near; the iteration is not finished."""


class _Objective:
    """The x-update: f_r(x) + rho/2·‖x − (z − u)‖².

    For descent it is a loss and a `Regulariser`. The second term is handled by its proximal
    operator, because steps along its gradient would diverge for large rho.
    """

    def __init__(
        self,
        model: LossModel,
        progress: RankProgress,
        X: Matrix,
        y: Array,
        share: float,
        block_rows: int,
    ) -> None:
        self.X, self.y = X, y
        self.must_pause: Callable[[], bool] = never  # called between blocks of rows
        self._model = model
        self._share = share
        self._block_rows = block_rows
        self._anchor: Floats = progress.extras["anchor"]
        self._rho = progress.extras["rho"].item()
        self._buffer = np.empty_like(self._anchor)

    def __len__(self) -> int:
        return len(self.y)

    def loss(self, x: Floats) -> float:
        """Return the sum of losses of the rank's rows."""
        return self._sums(x)[0]

    def value_and_gradient(self, x: lbfgs.Vector) -> tuple[float, lbfgs.Vector]:
        """Return value and gradient over all rows; blocks are summed in float64."""
        away = x - self._anchor
        loss, gradient = self._sums(x.astype(np.float32))
        gradient *= self._share / len(self)
        gradient += self._rho * away
        return self._share * loss / len(self) + 0.5 * self._rho * float(away @ away), gradient

    def gradient(self, w: Floats, X: Matrix, y: Array, out: Floats) -> float:
        """Write the first term's gradient on some rows to ``out``; return their mean loss."""
        loss = self._model.gradient(w, X, y, out=out)
        out *= np.float32(self._share)
        return loss

    def add_gradient(self, w: Floats, out: Floats) -> None:
        """Do nothing: `shrink` has all of the second term."""

    def shrink(self, w: Floats, step: float) -> None:
        """Apply, in place, the proximal operator of ``step`` times the second term."""
        pull = step * self._rho
        w += np.float32(pull) * self._anchor
        w /= np.float32(1 + pull)

    def _sums(self, x: Floats) -> tuple[float, lbfgs.Vector]:
        loss, gradient = 0.0, np.zeros(len(x))
        for start in range(0, len(self), self._block_rows):
            if self.must_pause():
                raise _PausedError
            rows = slice(start, start + self._block_rows)
            n = len(self.y[rows])
            loss += n * self._model.gradient(x, self.X[rows], self.y[rows], out=self._buffer)
            gradient += n * self._buffer.astype(np.float64)
        return loss, gradient


def _ratio(rank_state: Extras, rho: float) -> float:
    """Return the factor of ``u`` after a change of rho: the dual itself, rho·u, is unchanged."""
    return rank_state["rho"].item() / rho if rank_state else 1.0


def _number(value: float) -> Array:
    return np.array([value], np.float64)


def _square(vector: Array) -> float:
    return float(np.einsum("i,i", vector, vector, dtype=np.float64))
