"""Algorithms of the user's own, as those of StepML."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from stepml.job.own_code import CustomAlgorithm as Spec
from stepml.job.spec import JobSpec
from stepml.ml.algorithms.base import LabelledSample, OrchestratedAlgorithm, never
from stepml.ml.algorithms.local import batches_a_pass, shuffled_batches
from stepml.ml.algorithms.state import Extras, Outcome, RankEpoch, RankProgress, State, Sums
from stepml.ml.matrices import CsrMatrix
from stepml.ml.models.base import Array, Floats, LossModel, Matrix, Sample
from stepml.ml.own.algorithms import Arrays, Merge, OwnAlgorithm, Task
from stepml.ml.own.calls import arrays_of, numbers_like, scalar
from stepml.ml.own.loading import OwnClass, frozen, thawed

FIELD = "algorithm.entry_point"

# Prefixes of names in extras: arrays of a rank, those of them that are averaged, and shared ones.
_OF_RANK, _AVERAGED, _SHARED = "rank/", "mean/", "shared/"
_START = "start"
_STEP = 7  # begins the path of a step's random numbers


@dataclass(frozen=True)
class CustomAlgorithm(OrchestratedAlgorithm[LossModel]):
    """Each rank makes the user's steps; the results are averaged, weighted by rows, and merged.

    The code is that of the model. The object of the class is made anew for each call, so it cannot
    carry anything from one epoch to the next.
    """

    spec: Spec
    bytes_per_parameter: int = 80

    @classmethod
    def from_job(cls, job: JobSpec) -> CustomAlgorithm:
        assert isinstance(job.algorithm, Spec)
        return cls(job.algorithm)

    @property
    def keeps_rank_state(self) -> bool:  # type: ignore[override]
        return self.spec.lasting

    def own_class(self, code: Path | None) -> OwnClass:
        """Return the class in the ``code`` of a job."""
        return OwnClass(FIELD, self.spec.entry_point, self.spec.options, code)

    def own(self, model: LossModel) -> OwnAlgorithm:
        """Return a new object of the class; errors as of `OwnClass.built`."""
        return self.own_class(model.code).built(OwnAlgorithm)  # type: ignore[type-abstract]

    def initial_state(self, model: LossModel, parameters: Floats, sample: LabelledSample) -> State:
        own, owner = self.own(model), self.own_class(model.code)
        with owner.blamed():
            shared = own.shared(len(parameters))
        return State(parameters, _with_prefix(arrays_of(owner, own.shared, shared), _SHARED))

    def begin(
        self, model: LossModel, state: State, rank_state: Extras, rank_epoch: RankEpoch
    ) -> RankProgress:
        arrays = _of_rank(rank_state) or self._first_arrays(model, len(state.parameters))
        shared = {name: each for name, each in state.extras.items() if name.startswith(_SHARED)}
        return RankProgress(state.parameters, extras={**arrays, **shared, _START: state.parameters})

    def train(
        self,
        model: LossModel,
        progress: RankProgress,
        X: Matrix,
        y: Array,
        rank_epoch: RankEpoch,
        must_pause: Callable[[], bool] = never,
    ) -> RankProgress:
        steps = _Steps(self.own(model), self.own_class(model.code), model, progress)
        spec, finished = self.spec, True
        of_pass = batches_a_pass(len(y), spec.batch_size)
        batches = shuffled_batches(len(y), spec.batch_size, spec.local_epochs, rank_epoch)
        for number, rows in enumerate(batches, 1):
            if number <= progress.batches_done:
                continue
            if number > progress.batches_done + 1 and must_pause():
                finished = False
                break
            place = _Place(rank_epoch, number, of_pass, spec.local_epochs, rows.start)
            steps.take(X[rows], y[rows], place)
        return steps.progress(finished=finished)

    def rank_result(self, progress: RankProgress) -> Extras:
        arrays = _of_rank(progress.extras)
        return {"parameters": progress.parameters, "loss": progress.loss, **arrays}

    def contribution_shape(self, model: LossModel) -> tuple[int, int]:
        arrays = self._first_arrays(model, model.n_parameters)
        averaged = sum(each.size for name, each in arrays.items() if name.startswith(_AVERAGED))
        return model.n_parameters + averaged, 2

    def knows(self, model: LossModel, found: Extras) -> bool:
        """Return whether the rank's arrays are those that the code has."""
        expected = self._first_arrays(model, model.n_parameters)
        shapes = [
            {name: (each.shape, each.dtype) for name, each in some.items()}
            for some in (expected, _of_rank(found))
        ]
        return shapes[0] == shapes[1]

    def contribution(self, rank_state: Extras, rank_epoch: RankEpoch) -> tuple[Array, Sums]:
        parts = [rank_state["parameters"], *(each.ravel() for _, each in _averaged(rank_state))]
        vector = np.concatenate(parts, dtype=np.float32)
        return vector * np.float32(rank_epoch.weight), rank_state["loss"]

    def next_state(
        self,
        model: LossModel,
        state: State,
        vector: Array,
        trailer: Sums,
        rank_epoch: RankEpoch,
        sample: Sample,
    ) -> Outcome:
        own, owner, n_parameters = self.own(model), self.own_class(model.code), model.n_parameters
        shared = {name: each.copy() for name, each in _without_prefix(state.extras, _SHARED)}
        merge = Merge(
            before=frozen(state.parameters),
            means=MappingProxyType(self._means(model, vector[n_parameters:])),
            shared=MappingProxyType(shared),
            epoch=rank_epoch.epoch,
            world_size=rank_epoch.world_size,
        )
        mean = np.array(vector[:n_parameters])
        with owner.blamed():
            found = own.merge(merge, mean)
        parameters = numbers_like(owner, own.merge, found, mean.shape, "the parameters")
        state = State(np.array(parameters), _with_prefix(shared, _SHARED))
        return Outcome(state, float(trailer[0] / trailer[1]))

    def _first_arrays(self, model: LossModel, n_parameters: int) -> dict[str, Array]:
        own, owner = self.own(model), self.own_class(model.code)
        with owner.blamed():
            arrays = own.arrays(n_parameters)
        found = arrays_of(owner, own.arrays, arrays, own.averaged)
        return {
            (_AVERAGED if name in own.averaged else _OF_RANK) + name: each
            for name, each in found.items()
        }

    def _means(self, model: LossModel, numbers: Array) -> dict[str, Array]:
        means, start = {}, 0
        for name, each in _averaged(self._first_arrays(model, model.n_parameters)):
            means[name] = numbers[start : start + each.size].reshape(each.shape)
            start += each.size
        return means


@dataclass(frozen=True, slots=True)
class _Place:
    """The place of a step in a rank's epoch."""

    rank_epoch: RankEpoch
    number: int  # from 1
    of_pass: int  # steps
    n_passes: int
    row: int  # the first one of its batch


class _Steps:
    """The steps of a rank: parameters, arrays and sums so far."""

    def __init__(
        self, own: OwnAlgorithm, owner: OwnClass, model: LossModel, progress: RankProgress
    ) -> None:
        self._own, self._owner, self._model = own, owner, model
        self._w, self._begin = progress.parameters.copy(), progress
        self._extras = {
            name: each.copy() if name.startswith((_OF_RANK, _AVERAGED)) else frozen(each)
            for name, each in progress.extras.items()
        }
        self._loss_sum, self._rows = progress.loss_sum, progress.rows_seen
        self._done = progress.batches_done

    def take(self, X: Matrix, y: Array, place: _Place) -> None:
        """Make a step on a batch."""
        gradient = _BatchGradient(self._model, place)
        with self._owner.blamed():
            loss = self._own.step(
                self._task(gradient, place), self._w, _rows_as(frozen, X), frozen(y)
            )
        gradient.move_statistics(self._w)
        self._loss_sum += scalar(self._owner, self._own.step, loss, "the loss") * len(y)
        self._rows += len(y)
        self._done = place.number

    def progress(self, *, finished: bool) -> RankProgress:
        """Return the progress so far."""
        return RankProgress(self._w, self._done, self._loss_sum, self._rows, finished, self._extras)

    def _task(self, gradient: _BatchGradient, place: _Place) -> Task:
        at = place.rank_epoch
        arrays = {name.partition("/")[2]: each for name, each in _of_rank(self._extras).items()}
        return Task(
            gradient=gradient,
            start=self._extras[_START],
            shared=MappingProxyType(dict(_without_prefix(self._extras, _SHARED))),
            arrays=MappingProxyType(arrays),
            epoch=at.epoch,
            rank=at.rank,
            world_size=at.world_size,
            step=place.number,
            n_steps=place.of_pass * place.n_passes,
            rng=at.generator(_STEP, at.rank, place.number),
        )


class _BatchGradient:
    """Loss and gradient of a model on rows of a batch, with the penalty.

    Statistics of rows have no gradient; they move with the step, by those of the last call.
    """

    def __init__(self, model: LossModel, place: _Place) -> None:
        self._model, self._place = model, place
        number = (place.number - 1) // place.of_pass
        self._draws = replace(place.rank_epoch.draws, pass_number=number)
        self._move: Array | None = None

    def __call__(self, w: Array, X: Any, y: Array) -> tuple[float, Array]:
        w = np.asarray(w, np.float32)
        out = np.empty_like(w)
        at = self._place
        X, y = _rows_as(thawed, X), thawed(y)
        loss = self._model.batch_gradient(w, X, y, out, self._draws, at.number - 1, at.row)
        self._model.penalty.add_gradient(w, out)
        n_trained = self._model.n_trained
        if n_trained < len(out):
            self._move = out[n_trained:].copy()
            out[n_trained:] = 0
        return loss, out

    def move_statistics(self, w: Floats) -> None:
        """Move the statistics in ``w`` as the last call said."""
        if self._move is not None:
            w[self._model.n_trained :] -= self._move


def _rows_as(view: Callable[[Array], Array], X: Matrix) -> Matrix:
    """Return rows whose values are those of ``view``."""
    if isinstance(X, CsrMatrix):
        return replace(X, values=view(X.values), indices=view(X.indices))
    return view(X)


def _of_rank(extras: Extras) -> dict[str, Array]:
    return {name: each for name, each in extras.items() if name.startswith((_OF_RANK, _AVERAGED))}


def _averaged(extras: Extras) -> Iterator[tuple[str, Array]]:
    """Yield names and arrays that are averaged, always in the same order."""
    return iter(sorted(_without_prefix(extras, _AVERAGED), key=lambda item: item[0]))


def _without_prefix(extras: Extras, prefix: str) -> Iterator[tuple[str, Array]]:
    for name, each in extras.items():
        if name.startswith(prefix):
            yield name.removeprefix(prefix), each


def _with_prefix(arrays: Arrays, prefix: str) -> dict[str, Array]:
    return {prefix + name: each for name, each in arrays.items()}
