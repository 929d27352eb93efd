"""The functions of a job that must run at once."""

from __future__ import annotations

from stepml.job.errors import NotAvailableError, NotEnoughConcurrencyError
from stepml.job.spec import JobSpec
from stepml.job.spec_base import settled, tag

# In flight, each step moves every rank's vector through one channel; beyond this it stands still.
MOST_IN_FLIGHT = 400


def refuse_too_wide(spec: JobSpec, concurrency: int) -> None:
    """Refuse a job whose ranks wait for each other but could not all run at once.

    Raises
    ------
    NotEnoughConcurrencyError
        The account runs fewer functions than the job has workers.
    NotAvailableError
        They are more than can exchange in flight.
    """
    why = f"algorithm {tag(settled(spec.algorithm))!r} in flight"
    if spec.exchange.max_staleness is not None:
        why = "exchange.max_staleness"
    if spec.workers > concurrency:
        raise NotEnoughConcurrencyError(
            f"workers: with {why} all ranks run at once, and this account runs {concurrency} "
            "functions (the stack's parameter AccountConcurrency); expected at most "
            f"{concurrency}, got {spec.workers}"
        )
    if spec.workers > MOST_IN_FLIGHT:
        raise NotAvailableError(
            f"workers: with {why} all ranks exchange after every batch; expected at most "
            f"{MOST_IN_FLIGHT}, got {spec.workers}"
        )
