"""Checks of an algorithm of the user's own before training, on random rows."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from stepml.job.errors import InvalidCodeError
from stepml.job.own_code import CustomAlgorithm as Spec
from stepml.ml.algorithms import CustomAlgorithm
from stepml.ml.algorithms.state import Extras, RankEpoch, RankProgress, State
from stepml.ml.models.base import Array, LossModel, Matrix
from stepml.ml.own.time_limit import time_limit

MOST_S = 120.0  # of the user's code
_SEED = 20260101

Rows = tuple[Matrix, Array]


def check_own_algorithm(spec: Spec, model: LossModel, rows: Rows) -> None:
    """Train two ranks for two epochs, twice, and compare the bits.

    In the second training, ranks pause after each step, and go on with another object.

    Parameters
    ----------
    spec : CustomAlgorithm
    model : LossModel
        Of the job, with its code.
    rows : features and targets
        Random ones, at least four.

    Raises
    ------
    InvalidCodeError
        The class cannot be built, declares other facts than the job, fails, returns something
        else, or takes minutes; or the result depends on pauses, or differs in two calls.
    """
    few = msgspec.structs.replace(spec, batch_size=max(1, len(rows[1]) // 4), local_epochs=1)
    small = CustomAlgorithm(few)
    with time_limit(MOST_S, f"algorithm.entry_point: {spec.entry_point}"):
        own, owner = small.own(model), small.own_class(model.code)
        if own.lasting != spec.lasting:
            declared = str(own.lasting).lower()
            raise InvalidCodeError(
                f"algorithm.lasting: expected {declared}, as class {spec.entry_point} declares it, "
                f"got {str(spec.lasting).lower()}"
            )
        whole = _trained(small, model, rows, pauses=False)
        if np.array_equal(whole[0].parameters, whole[-1].parameters):
            raise owner.error(
                "two epochs change no parameter; step must change w in place, such as w -= …",
                own.step,
            )
        if _differ(whole, _trained(small, model, rows, pauses=True)):
            raise owner.error(
                "two trainings with the same rows differ: in one, ranks pause after each step, as "
                "functions do near their deadline. What a step needs of earlier ones must be in "
                "the parameters and arrays; draw random numbers from task.rng",
                own.step,
            )


def _trained(
    algorithm: CustomAlgorithm, model: LossModel, rows: Rows, *, pauses: bool
) -> list[State]:
    """Return the states after each of two epochs of two ranks."""
    half = len(rows[1]) // 2
    shards = [(rows[0][part], rows[1][part]) for part in (slice(half), slice(half, None))]
    sizes = tuple(len(y) for _, y in shards)
    first = model.first_parameters(lambda: (rows[0], None), _SEED)
    states = [algorithm.initial_state(model, first, lambda: rows)]
    before: list[Extras] = [{}, {}]
    for epoch in (1, 2):
        results: list[Extras] = []
        places = [RankEpoch(epoch, rank, sizes, _SEED) for rank in (0, 1)]
        for place, shard in zip(places, shards, strict=True):
            begin = algorithm.begin(model, states[-1], before[place.rank], place)
            end = [*_calls(algorithm, model, begin, shard, place, pauses)][-1]
            results.append(algorithm.rank_result(end))
        sums = [
            algorithm.contribution(each, place) for each, place in zip(results, places, strict=True)
        ]
        vector, trailer = sums[0][0] + sums[1][0], sums[0][1] + sums[1][1]
        states.append(
            algorithm.next_state(
                model, states[-1], vector, trailer, places[0], lambda: rows[0]
            ).state
        )
        before = results if algorithm.keeps_rank_state else before
    return states


def _calls(
    algorithm: CustomAlgorithm,
    model: LossModel,
    progress: RankProgress,
    shard: Rows,
    place: RankEpoch,
    pauses: bool,
) -> Iterator[RankProgress]:
    while not progress.finished:
        progress = algorithm.train(model, progress, *shard, place, lambda: pauses)
        yield progress


def _differ(one: list[State], other: list[State]) -> bool:
    return any(
        not np.array_equal(a.parameters, b.parameters, equal_nan=True)
        or any(
            not np.array_equal(a.extras[name], b.extras[name], equal_nan=True) for name in a.extras
        )
        for a, b in zip(one, other, strict=True)
    )
