"""The solvers of a rank's own problem in ADMM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from stepml.job.algorithms import Admm as Spec
from stepml.job.spec_base import settled
from stepml.ml import lbfgs
from stepml.ml.algorithms.base import never
from stepml.ml.algorithms.descent import Descent, Schedule
from stepml.ml.algorithms.local import LocalDescent
from stepml.ml.algorithms.optimality import rank_sums
from stepml.ml.algorithms.optimisers import Sgd
from stepml.ml.algorithms.state import RankEpoch, RankProgress
from stepml.ml.algorithms.x_update import PausedError, XUpdate
from stepml.ml.models.base import LossModel, Penalty

_LBFGS = "lbfgs_"  # prefix of the solver's arrays in `RankProgress.extras`
# Losses are float32: relative falls below this are rounding errors.
_ENDS = {"tolerance": 0.0, "least_fall": 1e-9}


def looked_at_z(
    model: LossModel, progress: RankProgress, update: XUpdate, *, at_rest: bool
) -> RankProgress:
    """Return the progress with the rank's sums at the consensus.

    ``at_rest``: the dual is the one with which the rank's own minimum is there. The ranks stay
    together at the minimum of a sample, and go on from its gradient on all rows.
    """
    extras = dict(progress.extras)
    z = extras.pop("z")
    loss, gradient = update.sums(z)
    rows = len(update)
    at_z = rank_sums(model, z, update.X, update.y, loss / rows, gradient / rows)
    if at_rest:
        u = (update.slope(gradient) / -extras["rho"]).astype(np.float32)
        extras |= {"u": u, "anchor": z - u}
    extras |= {"at_z": at_z, "loss_at_z": np.array([loss])}
    return replace(progress, extras=extras)


def progress_at_z(progress: RankProgress, rows: int) -> RankProgress:
    """Return the end of an epoch of a rank whose own minimum is at the consensus."""
    loss = progress.extras["loss_at_z"].item()
    return replace(progress, batches_done=1, loss_sum=loss, rows_seen=rows, finished=True)


def minimise(
    spec: Spec,
    objective: XUpdate,
    progress: RankProgress,
    must_pause: Callable[[], bool],
) -> RankProgress:
    """Return the progress after some iterations of L-BFGS, or at a pause."""
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
        except PausedError:  # the next call repeats the iteration
            break
        done += 1
        finished = now.at_end or done >= spec.local_iterations
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
        extras={**extras, **packed, "reach": np.array([now.reach])},
    )


def descend(
    spec: Spec,
    objective: XUpdate,
    progress: RankProgress,
    rank_epoch: RankEpoch,
    must_pause: Callable[[], bool],
) -> RankProgress:
    """Return the progress after passes of steps along gradients, or at a pause."""
    # Each epoch solves another problem, so the learning rate falls within each epoch.
    descent = Descent(Sgd(), Schedule(settled(spec.learning_rate), "restarts"))
    local = LocalDescent(descent, settled(spec.batch_size), spec.local_epochs, objective.pull)
    if not progress.batches_done:
        extras = {**progress.extras, **local.begin(progress.parameters).extras}
        progress = replace(progress, extras=extras)
    done = local.run(
        progress,
        objective.X,
        objective.y,
        rank_epoch,
        objective.gradient,
        Penalty(),
        must_pause,
    )
    return replace(done, extras={**progress.extras, **done.extras})
