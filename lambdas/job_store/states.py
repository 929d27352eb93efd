"""The encoding of states: of an epoch, of a rank, and of the progress within an epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import xxhash

from stepml.job.errors import DamagedValueError
from stepml.ml.algorithms import Extras, RankProgress, State
from stepml.ml.data import Scale, arrays
from stepml.ml.data.objects import Buffer
from stepml.ml.models.base import Array

_EXTRA = "extra."  # prefix of the arrays that an algorithm has beside the parameters


def pack_state(epoch: int, state: State) -> Buffer:
    """Return the state after ``epoch`` as a container of arrays."""
    contents = {"parameters": state.parameters, **_prefixed(state.extras)}
    return arrays.pack(contents, {"epoch": str(epoch)})


def unpack_state(data: Buffer, key: str) -> State:
    """Return the state in ``data``, as read-only views.

    Raises
    ------
    DamagedValueError
        Naming ``key``.
    """
    with named(key):
        views = _views(data, ("parameters",))
    return State(views["parameters"], _extras(views))


def pack_rank_state(rank_state: Extras) -> Buffer:
    """Return the arrays with which a rank ended an epoch as a container."""
    return arrays.pack(rank_state)


def unpack_rank_state(data: Buffer, key: str) -> Extras:
    """Return the arrays in ``data``, as read-only views; errors as of `unpack_state`."""
    with named(key):
        return arrays.unpack(data)[0]


def pack_scale(scale: Scale) -> Buffer:
    """Return ``scale`` as a container of arrays."""
    return scale.pack()


def unpack_scale(data: Buffer, key: str) -> Scale:
    """Return the scale in ``data``; errors as of `unpack_state`."""
    with named(key):
        return Scale.unpack(data)


@contextmanager
def named(key: str) -> Iterator[None]:
    """Name ``key`` in the error that a damaged value raises."""
    try:
        yield
    except DamagedValueError as error:
        raise DamagedValueError(f"{key}: {error}") from error


def pack_progress(progress: RankProgress) -> Buffer:
    """Return a rank's progress in its epoch as a container of arrays."""
    contents: dict[str, Array] = {
        "parameters": progress.parameters,
        "counts": np.array(
            [progress.batches_done, progress.rows_seen, progress.finished], np.int64
        ),
        "loss": np.array([progress.loss_sum], np.float64),
        **_prefixed(progress.extras),
    }
    return arrays.pack(contents)


def unpack_progress(data: Buffer, key: str) -> RankProgress:
    """Return the progress in ``data``; errors as of `unpack_state`."""
    with named(key):
        views = _views(data, ("parameters", "counts", "loss"))
    batches_done, rows_seen, finished = views["counts"].tolist()
    loss_sum = views["loss"].item()
    extras = _extras(views)
    return RankProgress(
        views["parameters"], batches_done, loss_sum, rows_seen, bool(finished), extras
    )


def digest_of(state: State) -> str:
    """Return a digest of all bits of ``state``: replicas must have the same."""
    digest = xxhash.xxh3_64()
    for name, array in sorted({"": state.parameters, **state.extras}.items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _prefixed(extras: Extras) -> dict[str, Array]:
    return {_EXTRA + name: array for name, array in extras.items()}


def _extras(views: Mapping[str, Array]) -> dict[str, Array]:
    return {
        name.removeprefix(_EXTRA): array for name, array in views.items() if name.startswith(_EXTRA)
    }


def _views(data: Buffer, required: tuple[str, ...]) -> dict[str, Array]:
    views, _ = arrays.unpack(data)
    if missing := [name for name in required if name not in views]:
        raise DamagedValueError(
            f"a container holds the arrays {', '.join(views)}, but not {missing[0]}"
        )
    return views
