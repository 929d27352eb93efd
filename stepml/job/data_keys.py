"""The names of partitioned data sets, which jobs share, in the durable store."""

from __future__ import annotations

from stepml.job.keys import VALIDATION


def data_set(digest: str) -> str:
    """All objects of a partitioned data set."""
    return f"datasets/{digest}/"


def manifest(digest: str) -> str:
    """The contents of a partitioned data set; published once, after all its pieces exist."""
    return f"datasets/{digest}/manifest.json"


def pieces_prefix(digest: str) -> str:
    """The pieces of all jobs."""
    return f"datasets/{digest}/pieces/"


def piece_prefix(digest: str, job_id: str) -> str:
    """The pieces of one job; if two jobs parse at once, the pieces of one become the data set."""
    return f"{pieces_prefix(digest)}{job_id}/"


def piece(digest: str, job_id: str, task: int, number: int) -> str:
    """Rows of one range task, sorted by id."""
    return f"{piece_prefix(digest, job_id)}{task:03d}-{number:05d}.safetensors"


def task_summary(digest: str, job_id: str, task: int) -> str:
    """The summary of a range task's output."""
    return f"{piece_prefix(digest, job_id)}{task:03d}.json"


def strata(digest: str, quotas: str) -> str:
    """The last validation row of each label, for ``quotas`` by their hash."""
    return f"datasets/{digest}/strata-{quotas}.json"


def shard(
    digest: str, world_size: int, fraction: float, kind: str, rank: int, *, stratify: bool = False
) -> str:
    """A rank's rows, or the validation rows (rank `VALIDATION`), dense or sparse."""
    split = _split(digest, world_size, fraction, kind, stratify)
    return f"{split}{_shard_name(rank)}.safetensors"


def shard_moments(
    digest: str, world_size: int, fraction: float, kind: str, rank: int, *, stratify: bool = False
) -> str:
    """Size and moments of a shard, written after it."""
    split = _split(digest, world_size, fraction, kind, stratify)
    return f"{split}{_shard_name(rank)}.moments"


def _split(digest: str, world_size: int, fraction: float, kind: str, stratify: bool) -> str:
    share = f"{fraction!r}-stratified" if stratify else repr(fraction)
    return f"datasets/{digest}/workers-{world_size}-validation-{share}-{kind}/"


def _shard_name(rank: int) -> str:
    return "validation" if rank == VALIDATION else f"rank-{rank:06d}"
