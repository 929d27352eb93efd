"""Descent on one rank's shard alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from stepml.ml.algorithms.base import never
from stepml.ml.algorithms.descent import Descent
from stepml.ml.algorithms.path import MOMENTS, Path
from stepml.ml.algorithms.state import Extras, RankEpoch, RankProgress
from stepml.ml.models.base import Array, Floats, LossModel, Matrix, Penalty

Gradient = Callable[[Floats, Matrix, Array, Floats, int, int], float]
"""Writes the gradient at ``w`` on rows ``X``, ``y`` to ``out``, and returns the mean loss.

The last two arguments are the number of the batch, and the position of its first row.
"""


@dataclass(frozen=True, slots=True)
class LocalDescent:
    """Mini-batch descent over a shard, in passes.

    Partitioning has shuffled the shard, so batches are consecutive rows (views, no copies). Their
    sizes differ by at most one row, because each counts as much as any other: the rows of a small
    one would weigh more. The order of batches is random in each pass.
    """

    descent: Descent
    batch_size: int
    passes: int
    pull: Callable[[Floats, float], None] | None = None  # of each step; see `Path`

    def begin(
        self, parameters: Floats, extras: Extras | None = None, *, n_trained: int | None = None
    ) -> RankProgress:
        """Return the initial progress at ``parameters``, with moments of 0 and other ``extras``.

        ``n_trained`` is `LossModel.n_trained`; None: all parameters.
        """
        moments = self.descent.moments(len(parameters) if n_trained is None else n_trained)
        return RankProgress(parameters, extras={**(extras or {}), MOMENTS: moments})

    def n_batches(self, n_samples: int) -> int:
        """Return the number of batches of all passes over ``n_samples`` rows."""
        return self.passes * self._batches_a_pass(n_samples)

    def _batches_a_pass(self, n_samples: int) -> int:
        return batches_a_pass(n_samples, self.batch_size)

    def loss_gradient(self, model: LossModel, rank_epoch: RankEpoch) -> Gradient:
        """Return the gradient of a model's loss, for `run`."""
        n_batches = self._batches_a_pass(rank_epoch.shard_rows[rank_epoch.rank])
        draws = [replace(rank_epoch.draws, pass_number=number) for number in range(self.passes)]

        def gradient(w: Floats, X: Matrix, y: Array, out: Floats, batch: int, row: int) -> float:
            return model.batch_gradient(w, X, y, out, draws[batch // n_batches], batch, row)

        return gradient

    def run(
        self,
        progress: RankProgress,
        X: Matrix,
        y: Array,
        rank_epoch: RankEpoch,
        gradient: Gradient,
        penalty: Penalty,
        must_pause: Callable[[], bool] = never,
        until: int | None = None,
    ) -> RankProgress:
        """Return the progress after all passes, after ``until`` batches, or at a pause."""
        path = Path(self.descent, penalty, progress.parameters, progress.extras, self.pull)
        step = np.empty_like(path.w)
        loss_sum, rows_seen, done = progress.loss_sum, progress.rows_seen, progress.batches_done
        total, finished = self.n_batches(len(y)), True
        batches = shuffled_batches(len(y), self.batch_size, self.passes, rank_epoch)
        for number, rows in enumerate(batches):
            if number < progress.batches_done:
                continue
            if number == until or (number > progress.batches_done and must_pause()):
                finished = False
                break
            batch = y[rows]
            loss = gradient(path.w, X[rows], batch, step, number, rows.start)
            loss_sum += loss * len(batch)
            epochs = rank_epoch.epoch - 1 + (number + 0.5) / total
            done = number + 1
            path.step(step, epochs, done)
            rows_seen += len(batch)
        return RankProgress(path.w, done, loss_sum, rows_seen, finished, path.extras)


def batches_a_pass(n_samples: int, batch_size: int) -> int:
    """Return the number of batches of one pass over ``n_samples`` rows."""
    return -(-n_samples // min(batch_size, n_samples))


def shuffled_batches(
    n_samples: int, batch_size: int, passes: int, rank_epoch: RankEpoch
) -> Iterator[slice]:
    """Yield the rows of each batch of a rank's epoch: see `LocalDescent`."""
    n_batches = batches_a_pass(n_samples, batch_size)
    bounds = (np.arange(n_batches + 1) * n_samples // n_batches).tolist()
    for number in range(passes):
        for each in rank_epoch.generator(rank_epoch.rank, number).permutation(n_batches):
            yield slice(bounds[each], bounds[each + 1])
