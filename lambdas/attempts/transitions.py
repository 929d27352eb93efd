"""Transitions of the state machines, which Step Functions charges for."""

from __future__ import annotations

from collections.abc import Sequence

from lambdas.attempts.workforce import Workforce
from stepml.job.tasks import DataState

ENDS = 2  # of an execution: the examples on the price page count its start and its end

# ChecksModel?, PartitionData, PlanShards, AssembleShards, InitialiseModel, Converged?
PREPARING_STATES = 6
PREPARE_STATES = 1
DAMAGE_STATES = 4  # PartitionData, PlanShards and AssembleShards in vain, RestoreData
FINAL_STATES = 1  # Finalise

PARENT_STATES = 2  # RunEpoch, Converged?
EPOCH_STATES = 4  # IsWide?, RunExecutors or RunGroups, IsMergedInChunks?, Reduce
CHUNK_STATES = 2  # MergeChunks, IsEvaluatedApart?
SLICE_STATES = 2  # Merge, EvaluateSlices
GROUP_STATES = 2  # RunGroup, and RunExecutors in its child
CHECK_STATES = 3  # of a second attempt: CheckData, IsDamaged?, IsWide?
RESTORING_STATES = 2  # RestoreRanges, PublishData


def of_preparation(data: DataState) -> int:
    """Return the transitions from the start of a job to its first epoch, and its end.

    Those of data that were made in vain are in `DataState.spent_usd`.
    """
    checked = 1 if data.checked.cost_usd else 0
    tasks = len(data.partitioned) + len(data.assembled)
    return ENDS + PREPARE_STATES + PREPARING_STATES + checked + tasks


def of_damage(data: DataState) -> int:
    """Return the transitions of data that turned out to be damaged."""
    return DAMAGE_STATES + len(data.partitioned) + len(data.assembled)


def of_epoch(
    n_ranks: int,
    n_chunks: int,
    n_slices: int = 0,
    *,
    earlier_attempts: int = 0,
    restored: Sequence[object] = (),
) -> int:
    """Return the transitions of an epoch in all state machines, if no function is called again.

    Parameters
    ----------
    n_ranks, n_chunks, n_slices : int
    earlier_attempts : int
        Executions that have failed; each is taken for one that came to its end.
    restored : sequence
        Ranges of damaged data that have been parsed again.
    """
    groups = len(Workforce(n_ranks, n_ranks).groups)
    merging = CHUNK_STATES + n_chunks if n_chunks else 0
    evaluation = SLICE_STATES + n_slices if n_slices else 0
    epoch = EPOCH_STATES + ENDS + n_ranks + merging + evaluation + groups * (GROUP_STATES + ENDS)
    restoring = RESTORING_STATES + len(restored) if restored else 0
    again = earlier_attempts * (1 + epoch + CHECK_STATES) + restoring
    return PARENT_STATES + epoch + again
