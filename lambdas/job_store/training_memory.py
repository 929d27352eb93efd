"""The memory of a function that trains a neural network, and the refusal of what does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

from lambdas.job_store.plans import PartitionPlan, TrainingPlan
from stepml.job.algorithm_base import Descent
from stepml.job.errors import ModelTooLargeError
from stepml.job.spec import JobSpec
from stepml.job.spec_base import settled

MIB = 2**20
# Measured: Python, torch with its kernels, and the clients of services.
_LIBRARIES_BYTES = 450 * MIB
# Measured on all networks of StepML: gradients of activations, and what the allocator keeps.
_ACTIVATIONS = 1.5  # relative to what a forward pass saves
_MOST_VALUE_BYTES = 25  # of a number as text
_LEAST_ROWS = 2  # of the check of a network


class StepRows(NamedTuple):
    """The rows of a rank, as far as they are known."""

    most: int | None = None  # of a shard; None: the data have not been read
    shard_bytes: int = 0

    @classmethod
    def at_least(cls, plan: PartitionPlan, n_features: int) -> Self:
        """Return the rows that data of this size have at least."""
        rows = sum(each.value_bytes for each in plan.objects) // (_MOST_VALUE_BYTES * n_features)
        trained = rows * (1 - plan.spec.data.validation_fraction)
        return cls(int(trained) // plan.spec.workers)

    @classmethod
    def of(cls, plan: TrainingPlan) -> Self:
        """Return the rows of the largest shard."""
        most = max(plan.shard_rows)
        return cls(most, int(most * plan.stored_row_bytes))


_UNKNOWN = StepRows()


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """The memory of an executor at its peak.

    Parameters
    ----------
    spec : JobSpec
    n_parameters : int
    saved_row_bytes : int
        Activations of a row that a forward pass saves.
    rows : StepRows
    """

    spec: JobSpec
    n_parameters: int
    saved_row_bytes: int = 0
    rows: StepRows = _UNKNOWN

    @property
    def step_rows(self) -> int:
        """The rows whose activations are in memory at once."""
        batch = self._descent.batch_size or 1  # that is chosen so that it fits
        if self.rows.most is not None:
            batch = min(batch, max(1, self.rows.most))
        return max(_LEAST_ROWS, -(-batch // self._parts))

    @property
    def n_vectors(self) -> int:
        """The vectors of the parameters' length.

        In flight these are parameters, gradient and moments, and in the exchange the rank's
        contribution, another rank's, the sum of both and the last one; or moments and parameters
        once more in a snapshot. A rank that descends alone has neither others' nor sums.
        """
        moments = self._n_moments
        alone = self._descent.averages_models and self.spec.exchange.pattern != "async"
        return max(3 + moments, 5) if alone else max(6 + moments, 4 + 2 * moments)

    @classmethod
    def of(cls, plan: TrainingPlan) -> Self:
        """Return the memory of a job's executors."""
        assert plan.network is not None  # no other model has
        n_parameters, rows = plan.network.n_parameters, StepRows.of(plan)
        return cls(plan.spec, n_parameters, plan.saved_row_bytes, rows)

    @property
    def working_bytes(self) -> int:
        """The memory beside the rank's rows."""
        activations = self.step_rows * self._activation_bytes
        return _LIBRARIES_BYTES + self._vector_bytes + activations

    @property
    def needed_bytes(self) -> int:
        """All memory."""
        return self.working_bytes + self.rows.shard_bytes

    def most_batch_size(self, function_mb: int) -> int:
        """Return the largest ``algorithm.batch_size`` for which a function has memory."""
        fixed = _LIBRARIES_BYTES + self._vector_bytes + self.rows.shard_bytes
        most_rows = (function_mb * MIB - fixed) // max(1, self._activation_bytes)
        return most_rows * self._parts if most_rows >= _LEAST_ROWS else 0

    def require(self, function_mb: int) -> None:
        """Raise `ModelTooLargeError` if a function of this size has too little memory."""
        if self.needed_bytes <= function_mb * MIB:
            return
        needs = (
            f"training takes about {_mib(self.needed_bytes)}, and a function has {function_mb:,} "
            f"MB (the stack's parameter ExecutorMemory): {', '.join(self._items())}"
        )
        most = self.most_batch_size(function_mb)
        if not most:
            raise ModelTooLargeError(
                f"model: expected a network that fits with a batch of {_LEAST_ROWS} rows; {needs}. "
                f"Use a smaller network{self._remedy}"
            )
        batch = self._descent.batch_size
        other = ""
        if self._descent.parts is not None:
            parts = -(-self.step_rows * self._parts // (most // self._parts))
            other = f", or algorithm.accumulate of at least {parts}"
        raise ModelTooLargeError(
            f"algorithm.batch_size: expected at most {most:,}{other}, got {batch:,}; {needs}"
        )

    def _items(self) -> list[str]:
        items = [
            f"{_mib(_LIBRARIES_BYTES)} for Python and torch",
            f"{_mib(self._vector_bytes)} for {self.n_vectors} vectors of {self.n_parameters:,} "
            "parameters",
        ]
        if self.saved_row_bytes:
            activations = self.step_rows * self._activation_bytes
            items.append(f"{_mib(activations)} for the activations of {self.step_rows:,} rows")
        if self.rows.shard_bytes:
            items.append(f"{_mib(self.rows.shard_bytes)} for the rows of a rank")
        return items

    @property
    def _remedy(self) -> str:
        remedies = ", smaller images" if self.spec.model.takes_images else ""
        return f"{remedies} or more workers" if self.rows.shard_bytes else remedies

    @property
    def _descent(self) -> Descent:
        descent = settled(self.spec.algorithm).as_descent
        assert descent is not None  # others train no networks
        return descent

    @property
    def _parts(self) -> int:
        return self._descent.parts or 1

    @property
    def _n_moments(self) -> int:
        descent = self._descent
        if descent.optimiser == "sgd" or descent.momentum is not None:
            return int(descent.momentum != 0)
        return 2  # of Adam, which is chosen

    @property
    def _vector_bytes(self) -> int:
        return 4 * self.n_vectors * self.n_parameters

    @property
    def _activation_bytes(self) -> int:
        return int(_ACTIVATIONS * self.saved_row_bytes)


def _mib(n_bytes: int) -> str:
    return f"{-(-n_bytes // MIB):,} MB"
