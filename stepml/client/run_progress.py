"""The progress of a run that is watched."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stepml.client.function_waits import wait_text
from stepml.job.errors import InvalidJobError
from stepml.job.parse import parse_job
from stepml.reports.epoch_limits import most_epochs

if TYPE_CHECKING:
    from stepml.client.watching import Snapshot
    from stepml.job.spec import JobSpec
    from stepml.reports.run_progress import RunProgress


def progress_of(snapshot: Snapshot) -> RunProgress:
    """Return the progress of a run at the moment of a snapshot."""
    from stepml.reports import job_facts
    from stepml.reports.run_head import status_of
    from stepml.reports.run_progress import RunProgress

    state, phase = snapshot.state, snapshot.phase
    status, colour = status_of(state.status)
    spec = _spec(state.job)
    n_epochs, total = len(snapshot.epochs), most_epochs(state.job, snapshot.dataset)
    trains = phase.has_epochs
    return RunProgress(
        job_id=state.execution.name,
        status=status,
        colour=colour,
        is_running=not state.ended,
        job="" if spec is None else job_facts.in_short(spec),
        phase="" if state.ended else str(phase),
        done=n_epochs if trains else phase.done,
        total=None if state.ended else total if trains else phase.total,
        epochs=snapshot.epochs,
        seconds=((state.ended_at or datetime.now(UTC)) - state.started_at).total_seconds(),
        rows="validation" if spec is None or spec.data.validation_fraction else "training",
        retried=snapshot.failed_attempts,
        failure=state.failure,
        notes=[] if snapshot.waits_beside is None else [wait_text(snapshot.waits_beside)],
    )


def _spec(job: str) -> JobSpec | None:
    with suppress(InvalidJobError):
        return parse_job(job)
    return None
