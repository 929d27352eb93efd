"""The rank states of a job: results of single ranks that they need in the next epoch."""

from __future__ import annotations

from collections.abc import Callable

from lambdas.job_store.store import JobStore
from stepml.job import keys
from stepml.ml.algorithms import Extras


def publish_rank_state(
    store: JobStore,
    epoch: int,
    rank: int,
    rank_state: Extras,
    *,
    unless: Callable[[Extras], bool] | None = None,
) -> Extras:
    """Write the result of ``rank`` in ``epoch``, and return the first one that was written.

    A late copy of a rank, after the end of the job, deletes its state again.

    Parameters
    ----------
    store : JobStore
    epoch, rank : int
    rank_state : mapping
    unless : callable, optional
        Returns whether a stored result stays. None: none is damaged or of another version.
    """
    entry = store.rank_state(epoch, rank)
    first = entry.replace(rank_state, unless=unless) if unless else entry.publish(rank_state)
    report = store.job_report.find()
    if report is not None and epoch < report.epochs:
        entry.delete()
    return first


def delete_rank_states_before(store: JobStore, epoch: int) -> None:
    """Delete the rank states of all epochs before ``epoch``.

    They stay until the job ends, like the states: a failed or earlier epoch can be trained again
    from them.
    """
    last = keys.rank_states_of_epoch(store.job_id, epoch)
    names = store.storage.list(keys.rank_states_prefix(store.job_id))
    store.storage.delete_many([name for name in names if not name.startswith(last)])
