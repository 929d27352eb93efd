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
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from stepml.job.algorithms import Admm as Spec
from stepml.job.spec import JobSpec
from stepml.job.spec_base import settled
from stepml.ml import lbfgs
from stepml.ml.algorithms.admm_solvers import descend, looked_at_z, minimise, progress_at_z
from stepml.ml.algorithms.base import LabelledSample, OrchestratedAlgorithm, never
from stepml.ml.algorithms.course import Course, rest_in_words
from stepml.ml.algorithms.optimality import fall_along, n_sums, objective_of
from stepml.ml.algorithms.rho import Rule, next_rho, rho_behind_start
from stepml.ml.algorithms.state import (
    Extras,
    Outcome,
    RankEpoch,
    RankProgress,
    Residuals,
    State,
    Sums,
)
from stepml.ml.algorithms.x_update import XUpdate
from stepml.ml.models.base import Array, Floats, LossModel, Matrix, Sample

# Of the tolerances of residuals: that of the objective, which is quadratic near its minimum.
_OF_OBJECTIVE = 1e-3
_OF_CHANGE = 0.1  # of the objective of a loss that is not smooth
_CARRIED = ("u", "rho", "squares", "reach", "at_z")  # into the result of a rank

# The parts of the trailer, behind loss and rows.
_SQUARES, _AT_Z = slice(2, 5), slice(5, None)


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
        spec = job.algorithm.chosen()
        return cls(spec, spec.solver(job.model))

    def initial_state(self, model: LossModel, parameters: Floats, sample: LabelledSample) -> State:
        rho = settled(self.spec.rho)
        extras = {"rho": _number(rho), "dual_residual": _number(math.inf)}
        if self.spec.starts_at_sample:
            extras["course"] = Course.from_untrained(model, *sample()).numbers
        return State(parameters, extras)

    def begin(
        self, model: LossModel, state: State, rank_state: Extras, rank_epoch: RankEpoch
    ) -> RankProgress:
        z, rho = state.parameters, state.extras["rho"].item()
        x = rank_state.get("x", z)
        u = rank_state.get("u", np.zeros_like(z))
        residual = x - z
        u = (u + residual) * np.float32(_ratio(rank_state, rho))  # the u-update, in today's scale
        squares = [_square(residual), _square(x), _square(u)]
        at_z = np.zeros(n_sums(model))  # until the first call knows them
        extras = {"u": u, "anchor": z - u, "z": z, "squares": np.array(squares), "at_z": at_z}
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
        update = XUpdate(model, progress, X, y, share, self.block_rows)
        if not progress.batches_done:
            is_ahead = self.spec.starts_at_sample and rank_epoch.epoch == 1
            progress = looked_at_z(model, progress, update, at_rest=is_ahead)
            if is_ahead and self.solver == "lbfgs":  # the rank's minimum is there
                return progress_at_z(progress, len(y))
            update = XUpdate(model, progress, X, y, share, self.block_rows)
        if self.solver == "sgd":
            return descend(self.spec, update, progress, rank_epoch, must_pause)
        return minimise(self.spec, update, progress, must_pause)

    def rank_result(self, progress: RankProgress) -> Extras:
        carried = {name: progress.extras[name] for name in _CARRIED}
        return {"x": progress.parameters, "loss": progress.loss, **carried}

    def contribution_shape(self, model: LossModel) -> tuple[int, int]:
        return model.n_parameters, _AT_Z.start + n_sums(model)

    def knows(self, model: LossModel, found: Extras) -> bool:
        n_at_z = n_sums(model)
        return "at_z" in found and found["at_z"].size == n_at_z

    def contribution(self, rank_state: Extras, rank_epoch: RankEpoch) -> tuple[Array, Sums]:
        vector = (rank_state["x"] + rank_state["u"]) / np.float32(rank_epoch.world_size)
        at_z = rank_epoch.weight * rank_state["at_z"]
        return vector, np.concatenate([rank_state["loss"], rank_state["squares"], at_z])

    def next_state(
        self,
        model: LossModel,
        state: State,
        vector: Array,
        trailer: Sums,
        rank_epoch: RankEpoch,
        sample: Sample,
    ) -> Outcome:
        rho = state.extras["rho"].item()
        z = np.array(vector)
        model.penalty.minimise_near(z, rho)
        course = self._course(model, state, trailer, rank_epoch)
        residuals = self._residuals(model, state, trailer, course, rank_epoch)
        dual = rho * math.sqrt(rank_epoch.world_size * _square(z - state.parameters))
        extras = {
            "rho": _number(self._next_rho(model, rho, residuals, rank_epoch)),
            "dual_residual": _number(dual),
            "course": course.numbers,
        }
        way = z.astype(np.float64) - state.parameters
        ahead = fall_along(way, rho, model, state.parameters, trailer[_AT_Z])
        fall = None if residuals is None else residuals.fall
        return Outcome(
            State(z, extras),
            float(trailer[0] / trailer[1]),
            self._converged(model, residuals, course.relative(ahead)),
            residuals,
            lacks=rest_in_words(fall, is_smooth=model.has_curvature),
        )

    def _next_rho(
        self, model: LossModel, rho: float, residuals: Residuals | None, rank_epoch: RankEpoch
    ) -> float:
        rule: Rule = settled(self.spec.adaptive_rho)
        if rule and residuals is None and self.spec.starts_at_sample and self.solver == "lbfgs":
            rank_rows = sum(rank_epoch.shard_rows) / rank_epoch.world_size
            return rho_behind_start(rho, model, rank_rows)
        return next_rho(rule, rho, residuals)

    def _converged(
        self, model: LossModel, residuals: Residuals | None, ahead: float | None
    ) -> str | None:
        """Return the reason if the algorithm has converged.

        ``ahead`` is the fall of the objective along the last way of the consensus, relative to it.
        """
        if residuals is None or residuals.fall is None:
            return None
        if residuals.are_small:
            return "both residuals are within their tolerances"
        fall = max(residuals.fall, math.inf if ahead is None else ahead)
        tolerance = settled(self.spec.objective_tolerance)
        if tolerance and not model.has_curvature:  # changes are noise of the steps, too
            tolerance = max(tolerance, residuals.fall_tolerance)
        if fall > tolerance:
            return None
        return rest_in_words(fall, is_smooth=model.has_curvature)

    def _course(
        self, model: LossModel, state: State, trailer: Sums, rank_epoch: RankEpoch
    ) -> Course:
        """Return the course up to the consensus of the epoch before."""
        # A state that another version wrote has none.
        before = Course.of(state.extras["course"]) if "course" in state.extras else Course()
        z, rho = state.parameters, state.extras["rho"].item()
        _, x, u = np.sqrt(trailer[_SQUARES]).tolist()
        dual = state.extras["dual_residual"].item()
        return before.through(
            max(x, math.sqrt(rank_epoch.world_size * _square(z))),
            max(rho * u, dual) if math.isfinite(dual) else rho * u,
            objective_of(model, z, trailer[_AT_Z]),
        )

    def _residuals(
        self,
        model: LossModel,
        state: State,
        trailer: Sums,
        course: Course,
        rank_epoch: RankEpoch,
    ) -> Residuals | None:
        """Return the residuals of the epoch before; None in the first epoch."""
        z, rho, dual = (
            state.parameters,
            *(state.extras[name].item() for name in ("rho", "dual_residual")),
        )
        if not math.isfinite(dual):
            return None
        primal, x, u = np.sqrt(trailer[_SQUARES]).tolist()
        count = math.sqrt(rank_epoch.world_size * z.size)
        absolute, relative = self.spec.absolute_tolerance, self.spec.relative_tolerance
        size, dual_size = max(x, math.sqrt(rank_epoch.world_size * _square(z))), rho * u
        unit = _OF_OBJECTIVE if model.has_curvature else _OF_CHANGE
        return Residuals(
            primal=primal,
            primal_size=size,
            primal_tolerance=min(count, course.parameters) * absolute + relative * size,
            dual=dual,
            dual_size=dual_size,
            dual_tolerance=min(count, course.dual) * absolute + relative * dual_size,
            fall=course.relative_fall(model, z, trailer[_AT_Z]),
            fall_tolerance=unit * (absolute + relative),
        )


def _ratio(rank_state: Extras, rho: float) -> float:
    """Return the factor of ``u`` after a change of rho: the dual itself, rho·u, is unchanged."""
    return rank_state["rho"].item() / rho if rank_state else 1.0


def _number(value: float) -> Array:
    return np.array([value], np.float64)


def _square(vector: Array) -> float:
    return float(np.einsum("i,i", vector, vector, dtype=np.float64))
