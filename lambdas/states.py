"""States of a job as arrays in the durable store: of an epoch, of a rank, and on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import xxhash

from stepml.job.errors import DamagedValueError
from stepml.ml.algorithms import Extras, RankProgress, State
from stepml.ml.data import arrays
from stepml.ml.data.objects import Buffer
from stepml.ml.models.base import Array

_EXTRA = "extra."  # begins the names of what an algorithm carries on beside the parameters


def pack_state(state: State, epoch: int) -> bytes:
    """Return the state after ``epoch`` as a container of arrays."""
    contents = {"parameters": state.parameters, **_prefixed(state.extras)}
    return bytes(arrays.pack(contents, {"epoch": str(epoch)}))


def unpack_state(data: Buffer, key: str) -> State:
    """Return the state that lies under ``key``, of read-only views of ``data``.

    Raises
    ------
    DamagedValueError
        Naming ``key``.
    """
    with named(key):
        views = _views(data, ("parameters",))
    return State(views["parameters"], _extras(views))


def pack_own(rank_state: Extras) -> bytes:
    """Return what a rank ended an epoch with as a container of arrays."""
    return bytes(arrays.pack(rank_state))


def unpack_own(data: Buffer, key: str) -> Extras:
    """Return what `pack_own` was given, as read-only views; errors as of `unpack_state`."""
    with named(key):
        return arrays.unpack(data)[0]


@contextmanager
def named(key: str) -> Iterator[None]:
    """Say where a value lies that turns out to be damaged."""
    try:
        yield
    except DamagedValueError as error:
        raise DamagedValueError(f"{key}: {error}") from error


def pack_progress(progress: RankProgress) -> bytes:
    """Return how far a rank is in its epoch as a container of arrays."""
    contents: dict[str, Array] = {
        "parameters": progress.parameters,
        "counts": np.array(
            [progress.batches_done, progress.rows_seen, progress.finished], np.int64
        ),
        "loss": np.array([progress.loss_sum], np.float64),
        **_prefixed(progress.extras),
    }
    return bytes(arrays.pack(contents))


def unpack_progress(data: Buffer) -> RankProgress:
    """Return the progress that `pack_progress` wrote."""
    views = _views(data, ("parameters", "counts", "loss"))
    batches_done, rows_seen, finished = views["counts"].tolist()
    loss_sum = views["loss"].item()
    extras = _extras(views)
    return RankProgress(
        views["parameters"], batches_done, loss_sum, rows_seen, bool(finished), extras
    )


def digest_of(state: State) -> str:
    """Return what tells replicas with other bits apart."""
    digest = xxhash.xxh3_128()
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
